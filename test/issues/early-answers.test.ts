import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, httpUpstream, RawClient, rawUpstream } from '../support/upstream.ts'

t.test('an answer before the end of the request survives the reset that follows it', async (t) => {
  const up = await httpUpstream(t, (_request, response) => {
    // Node closes with the body unread, which resets the connection.
    response.writeHead(413, { connection: 'close', 'content-length': 3 }).end('big')
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  for (let round = 0; round < 3; round += 1) {
    const client = new RawClient(origin)
    client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n')
    for (let sent = 0; sent < 5_000_000; sent += 50_000) client.write('x'.repeat(50_000))
    t.match(await client.until(/\r\n\r\n.*(?:big|})$/), /^HTTP\/1.1 413 /)
    client.close()
  }
})

t.test('a service that does not speak HTTP is found out by its first line', async (t) => {
  const up = await rawUpstream(t, ({ socket }) => socket.write('SSH-2.0-server\r\n'))
  const { origin } = await startGateway(t, configFor([up.url]))
  const { status } = await fetch(origin, { method: 'POST', signal: AbortSignal.timeout(5000) })
  t.equal(status, 502)
})

t.test('a long PUT never takes a connection that the service is about to close', async (t) => {
  const uses = new Map<unknown, number>()
  const up = await httpUpstream(t, (request, response) => {
    uses.set(request.socket, (uses.get(request.socket) ?? 0) + 1)
    // As when the service had closed the idle connection a moment before.
    if (uses.get(request.socket)! > 1) request.socket.resetAndDestroy()
    else request.resume().on('end', () => response.end('ok'))
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  for (let round = 0; round < 3; round += 1) {
    const response = await fetch(origin, { method: 'PUT', body: Buffer.alloc(300_000) })
    t.equal(response.status, 200)
    await response.text()
  }
})

t.test('a client that leaves amid its upload is noticed when the answer has begun', async (t) => {
  let left = () => {}
  const isLeft = new Promise<void>((resolve) => {
    left = resolve
  })
  const up = await httpUpstream(t, (request, response) => {
    response.once('close', left)
    request.pipe(response)
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\necho')
  await client.until(/echo/)
  client.close()
  await isLeft
})
