import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, httpUpstream, RawClient } from '../support/upstream.ts'

const get = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

t.test('a request on its way when the gateway stops accepting is answered', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end('ok'))
  const { gateway, origin } = await startGateway(t, configFor([up.url]))
  const clients = [1, 2, 3].map(() => new RawClient(origin).write(get))
  for (const client of clients) {
    t.notMatch(await client.until(/ok$/), /connection: close/i)
    client.received = ''
  }
  const stopped = gateway.stop()
  await new Promise((resolve) => setTimeout(resolve, 20))
  await t.rejects(fetch(origin), 'nobody new comes in')
  for (const client of clients) {
    client.write(get)
    const answer = await client.ended()
    t.match(answer, /^HTTP\/1.1 200 OK/)
    t.match(answer, /connection: close/i)
  }
  await stopped
})

t.test('who is cut off at the end of the shutdown has a line in the log', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    if (request.url === '/stream')
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  const config = { ...configFor([up.url]), shutdown: { timeout: '50ms' } }
  const { gateway, origin, log } = await startGateway(t, config)
  const stream = new RawClient(origin).write('GET /stream HTTP/1.1\r\nHost: x\r\n\r\n')
  await stream.until(/data: 1/)
  const hanging = new RawClient(origin).write('GET /hang HTTP/1.1\r\nHost: x\r\n\r\n')
  while (up.requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  await gateway.stop()
  const lines = log().filter(({ msg }) => msg === 'request')
  t.same(lines.map(({ path, status, reason }) => `${path} ${status} ${reason}`).sort(), [
    '/hang 499 shutdown',
    '/stream 200 shutdown'
  ])
  hanging.close()
  stream.close()
})
