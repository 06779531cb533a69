import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream, RawClient } from '../support/upstream.ts'

const tree = {
  type: 'object',
  required: ['name'],
  additionalProperties: false,
  properties: { name: { type: 'string' }, next: { $ref: '#' } }
}

async function start(t: Parameters<typeof startGateway>[0], route: object = {}) {
  const upstream = await httpUpstream(t, (request, response) => {
    request.resume()
    request.on('end', () => response.end('done'))
  })
  const config = configFor([upstream.url], { route: { maxBody: '1MiB', validate: { body: tree }, ...route } })
  return { ...(await startGateway(t, config)), upstream }
}

const head = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'

t.test('a schema that refers to itself judges every level', async (t) => {
  const { origin, upstream } = await start(t)
  const nested = (depth: number, last: string) =>
    `${'{"name":"n","next":'.repeat(depth)}${last}${'}'.repeat(depth)}`
  const send = (body: string) =>
    exchange(origin, `${head}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  t.match(await send(nested(60, '{"name":"n"}')), /^HTTP\/1\.1 200/)
  t.match(await send(nested(60, '{"name":1}')), /^HTTP\/1\.1 400/)
  t.match(await send(nested(64, '{"name":"n"}')), /^HTTP\/1\.1 400/)
  t.equal(upstream.requests.length, 1)
})

t.test('a request hidden in a refused body is not served', async (t) => {
  const { origin, upstream } = await start(t, { maxBody: '1KiB' })
  const inner = 'GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n'
  const filled = `{"name":"${'x'.repeat(2000)}"}${inner}`
  for (const framing of [
    `Content-Length: ${inner.length}\r\n\r\n${inner}`,
    `Content-Length: ${filled.length}\r\n\r\n${filled}`,
    `Transfer-Encoding: chunked\r\n\r\n${filled.length.toString(16)}\r\n${filled}\r\n0\r\n\r\n`
  ]) {
    const client = new RawClient(origin).write(head + framing)
    await client.until(/^HTTP\/1\.1 4\d\d/)
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.equal(client.received.match(/HTTP\/1\.1 /g)?.length, 1)
    client.close()
  }
  t.equal(upstream.requests.length, 0)
})

t.test('an answer waits for nobody: many slow clients, and others are served', async (t) => {
  const { origin, upstream } = await start(t)
  const slow = Array.from({ length: 50 }, () =>
    new RawClient(origin).write(`${head}Content-Length: 1000\r\n\r\n{"name":`)
  )
  const body = '{"name":"n"}'
  const answer = await exchange(
    origin,
    `${head}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  )
  t.match(answer, /^HTTP\/1\.1 200/)
  t.equal(upstream.requests.length, 1)
  for (const client of slow) client.close()
})

t.test('a connection is good for more after a body that came byte by byte was refused', async (t) => {
  const { origin, upstream } = await start(t)
  const client = new RawClient(origin)
  const bad = '{"name":1}'
  client.write(`${head}Content-Length: ${bad.length}\r\n\r\n`)
  for (const character of bad) {
    client.write(character)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await client.until(/HTTP\/1\.1 400[\s\S]*\}$/)
  const good = '{"name":"n"}'
  client.write(`${head}Content-Length: ${good.length}\r\n\r\n${good}`)
  await client.until(/HTTP\/1\.1 200/)
  t.equal(upstream.requests.length, 1)
  client.close()
})
