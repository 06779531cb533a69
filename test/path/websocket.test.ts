import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { startGateway } from '../support/gateway.ts'
import { closedPort, configFor, RawClient, rawUpstream } from '../support/upstream.ts'
import { closed, opened, wsUpstream } from '../support/websocket.ts'

const handshake = (path = '/', extra = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${extra}\r\n`

const accepted =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Case: Kept\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'

/** A service that agrees to every upgrade and then hands each chunk to `onBytes`. */
const switching = (t: Test, onBytes: (bytes: Buffer, write: (bytes: Buffer | string) => void) => void) =>
  rawUpstream(t, (connection) => {
    const { socket } = connection
    if (!connection.received.includes('\r\n\r\n')) return
    if (socket.bytesWritten === 0) {
      socket.write(accepted)
      const rest = connection.received.split('\r\n\r\n')[1]!
      if (rest !== '') onBytes(Buffer.from(rest, 'latin1'), (bytes) => socket.write(bytes))
      socket.on('data', (bytes) => onBytes(bytes, (answer) => socket.write(answer)))
    }
  })

const nextMessage = (socket: WebSocket) =>
  new Promise<{ data: Buffer; isBinary: boolean }>((resolve) =>
    socket.once('message', (data, isBinary) => resolve({ data: data as Buffer, isBinary }))
  )

t.test('carries text, binary, fragments, pings and close codes as they are', async (t) => {
  const { url, sockets } = await wsUpstream(t, { handleProtocols: (offered: Set<string>) => [...offered][1] })
  let pings = 0
  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data as Buffer, { binary: isBinary }))
    socket.on('ping', () => {
      pings += 1
    })
    socket.on('close', (code, reason) => closes.push(`${code} ${reason}`))
  })
  const closes: string[] = []
  const { origin } = await startGateway(t, configFor([url]))
  const socket = new WebSocket(origin.replace('http', 'ws'), ['one', 'two'])
  await opened(socket)
  t.equal(socket.protocol, 'two')
  socket.send('text')
  t.equal((await nextMessage(socket)).data.toString(), 'text')
  socket.send(Buffer.from([0, 1, 2, 255]))
  t.same(await nextMessage(socket), { data: Buffer.from([0, 1, 2, 255]), isBinary: true })
  socket.send('frag', { fin: false })
  socket.send('ments', { fin: true })
  t.equal((await nextMessage(socket)).data.toString(), 'fragments')
  const big = Buffer.alloc(3_000_000, 7)
  socket.send(big)
  t.ok((await nextMessage(socket)).data.equals(big))
  const pongs: string[] = []
  socket.on('pong', (data) => pongs.push(data.toString()))
  socket.ping('p1')
  socket.send('after')
  await nextMessage(socket)
  t.same(pongs, ['p1'], 'one pong for one ping')
  t.equal(pings, 1)
  socket.close(4321, 'my reason')
  t.same(await closed(socket), { code: 4321, reason: 'my reason' })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.same(closes, ['4321 my reason'])
})

t.test('a close by the service reaches the client as it is, and so does an abrupt end', async (t) => {
  const { url, sockets } = await wsUpstream(t)
  sockets.on('connection', (socket, request) => {
    if (request.url === '/close') socket.close(3999, 'done')
    if (request.url === '/bare') socket.close()
    if (request.url === '/abrupt') socket.terminate()
  })
  const { origin } = await startGateway(t, configFor([url]))
  const endOf = (path: string) => {
    const socket = new WebSocket(origin.replace('http', 'ws') + path)
    socket.on('error', () => {})
    return closed(socket)
  }
  t.same(await endOf('/close'), { code: 3999, reason: 'done' })
  t.same(await endOf('/bare'), { code: 1005, reason: '' })
  t.same(await endOf('/abrupt'), { code: 1006, reason: '' })
})

t.test('an abrupt end of the client reaches the service as one', async (t) => {
  const { url, sockets } = await wsUpstream(t)
  const end = new Promise<number>((resolve) =>
    sockets.on('connection', (socket) => socket.on('close', resolve))
  )
  const { origin } = await startGateway(t, configFor([url]))
  const socket = new WebSocket(origin.replace('http', 'ws'))
  await opened(socket)
  socket.terminate()
  t.equal(await end, 1006)
})

t.test(
  'the handshake reaches the service with the rules of all headers, and the answer as it was written',
  async (t) => {
    const up = await switching(t, (bytes, write) => write(bytes))
    const { origin } = await startGateway(
      t,
      configFor([up.url], { route: { rewrite: { stripPrefix: '/ws' } } })
    )
    const client = new RawClient(origin).write(
      handshake(
        '/ws/chat?x=1',
        'X-User-Id: root\r\nAuthorization: Bearer x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n'
      )
    )
    const answer = await client.until(/\r\n\r\n/)
    const sent = up.connections[0]!.received
    t.match(sent, /^GET \/chat\?x=1 HTTP\/1\.1\r\n/)
    t.match(sent, /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/)
    t.match(sent, /\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n/)
    t.match(sent, /\r\nSec-WebSocket-Extensions: permessage-deflate\r\n/)
    t.match(sent, /\r\nX-Forwarded-Host: a\.example\r\n/)
    t.notMatch(sent, /authorization|x-user-id|keep-alive/i)
    t.match(
      answer,
      /^HTTP\/1\.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Case: Kept\r\n/
    )
    t.match(answer, /\r\nx-request-id: /)
    t.notMatch(answer, /keep-alive|close/i)
    client.close()
  }
)

t.test('every byte passes as it is, also what is no frame at all', async (t) => {
  const up = await switching(t, (bytes, write) => write(bytes))
  const { origin } = await startGateway(t, configFor([up.url]))
  // Bytes right behind the handshake belong to the tunnel already.
  const client = new RawClient(origin).write(`${handshake()}early`)
  await client.until(/\r\n\r\nearly$/)
  const noise = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 31) % 256))
  client.received = ''
  client.socket.write(noise)
  while (client.received.length < noise.length) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(Buffer.from(client.received, 'latin1').equals(noise))
  client.close()
})

t.test('a side that ends can still receive', async (t) => {
  const up = await switching(t, () => {})
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write(handshake())
  await client.until(/\r\n\r\n/)
  const { socket } = up.connections[0]!
  const ended = new Promise<void>((resolve) => socket.once('end', resolve))
  client.socket.end()
  await ended
  socket.end('still here')
  t.match(await client.ended(), /still here$/)
})

t.test('a refusal of the service is an ordinary answer', async (t) => {
  const up = await rawUpstream(t, ({ socket }) =>
    socket.write(
      'HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nnope'
    )
  )
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write(handshake())
  const answer = await client.ended()
  t.match(answer, /^HTTP\/1\.1 403 Forbidden\r\nX-Why: no\r\n/)
  t.match(answer, /\r\nConnection: close\r\n/)
  t.match(answer, /\r\n\r\nnope$/)
})

t.test('the gateway refuses before the upgrade, as it refuses anything', async (t) => {
  const up = await switching(t, () => {})
  const { origin } = await startGateway(t, configFor([up.url], { route: { path: '/ws' } }))
  const answer = await new RawClient(origin).write(handshake('/other')).ended()
  t.match(answer, /^HTTP\/1\.1 404 Not Found\r\n/)
  t.match(answer, /"code":"ROUTE_NOT_FOUND"/)
  t.equal(up.connections.length, 0)
  const method = await new RawClient(origin).write(handshake('/../ws')).ended()
  t.match(method, /AMBIGUOUS_PATH/)
})

t.test('a service that cannot be reached, is silent or talks nonsense is 502 and 504', async (t) => {
  const silent = await rawUpstream(t, () => {})
  const nonsense = await rawUpstream(t, ({ socket }) => socket.write('hello\r\n\r\n'))
  const service = { timeouts: { response: '150ms' } }
  const cases: [string, RegExp][] = [
    [`http://127.0.0.1:${await closedPort()}`, /^HTTP\/1\.1 502 .*UPSTREAM_CONNECT/s],
    [silent.url, /^HTTP\/1\.1 504 .*UPSTREAM_TIMEOUT/s],
    [nonsense.url, /^HTTP\/1\.1 502 .*UPSTREAM_BROKEN/s]
  ]
  for (const [url, expected] of cases) {
    const { origin } = await startGateway(t, configFor([url], { service }))
    t.match(await new RawClient(origin).write(handshake()).ended(), expected)
  }
})

t.test('an upgrade goes to another node when the first refuses connections', async (t) => {
  const up = await switching(t, () => {})
  const { origin } = await startGateway(t, configFor([`http://127.0.0.1:${await closedPort()}`, up.url]))
  for (let count = 0; count < 3; count += 1) {
    const client = new RawClient(origin).write(handshake())
    t.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 101 /)
    client.close()
  }
})

t.test('silence longer than the idle timeout ends the tunnel with 1001', async (t) => {
  const { url } = await wsUpstream(t)
  const { origin } = await startGateway(t, configFor([url], { service: { timeouts: { idle: '150ms' } } }))
  const socket = new WebSocket(origin.replace('http', 'ws'))
  t.equal((await closed(socket)).code, 1001)
})

t.test('a reload closes no tunnel, a shutdown closes each with 1001, between two frames', async (t) => {
  const up = await switching(t, (bytes, write) => {
    // Half a frame of five bytes, and the other half later.
    if (bytes.includes('half')) write(Buffer.from([0x81, 5, 0x68, 0x65]))
    if (bytes.includes('rest')) write('llo')
  })
  const gateway = await startGateway(t, configFor([up.url]))
  const client = new RawClient(gateway.origin).write(handshake())
  await client.until(/\r\n\r\n/)
  client.received = ''
  const result = await gateway.reconfigure(configFor([up.url], { service: { timeouts: { response: '3s' } } }))
  t.equal(result.outcome, 'applied')
  client.write('half')
  await client.until(/he$/)
  const stopping = gateway.stop()
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(client.received.length, 4, 'nothing is put into a frame')
  client.write('rest')
  await client.until(/hello.{4}$/s)
  t.ok(client.received.endsWith('\x88\x02\x03\xe9'), 'a close frame with 1001')
  client.close()
  await stopping
})

t.test('another Upgrade is ignored and the request served', async (t) => {
  const up = await rawUpstream(t, (connection) => {
    if (/body$|\r\n0\r\n\r\n$|^GET .*\r\n\r\n$/s.test(connection.received)) {
      connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      seen.push(connection.received)
      connection.received = ''
    }
  })
  const seen: string[] = []
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin)
  const head = (framing: string) =>
    'POST /a HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n' +
    `HTTP2-Settings: AAMAAABkAAQAAP__\r\n${framing}\r\n\r\n`
  const ask = async (...pieces: string[]): Promise<void> => {
    client.received = ''
    for (const piece of pieces) {
      client.write(piece)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await client.until(/\r\n\r\nok$/)
  }
  await ask(`${head('Content-Length: 4')}body`)
  await ask(head('Content-Length: 4'), 'bo', 'dy')
  await ask(`${head('Transfer-Encoding: chunked')}4\r\nbody\r\n0\r\n\r\n`)
  await ask(head('Transfer-Encoding: chunked'), '4\r\nbo', 'dy\r\n0\r\n\r\n')
  await ask(head('Content-Length: 4').replace('h2c', 'websocket').replace('POST', 'PUT'), 'body')
  t.equal(seen.length, 5)
  for (const request of seen) {
    t.notMatch(request, /upgrade|http2/i)
    t.match(request, /bo.*dy$|bo.*dy\r\n0\r\n\r\n$/s)
  }
  client.received = ''
  client.write('GET /b HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n')
  t.match(await client.ended(), /^HTTP\/1\.1 200 OK.*ok$/s, 'and the connection goes on')
})

t.test("the accept header is the service's own", (t) => {
  const key = 'dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
  t.equal(createHash('sha1').update(key).digest('base64'), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  t.end()
})
