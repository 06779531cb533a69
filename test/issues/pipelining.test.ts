import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, httpUpstream, RawClient } from '../support/upstream.ts'

const upgrade =
  'GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n'

t.test('an upgrade behind a request that is not answered yet waits for the answer', async (t) => {
  const body = 'x'.repeat(8_000_000)
  const up = await httpUpstream(t, (_request, response) => {
    setTimeout(() => response.end(body), 30)
  })
  up.server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    socket.pipe(socket)
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write(`GET /first HTTP/1.1\r\nHost: x\r\n\r\n${upgrade}early`)
  const received = await client.until(/early$/)
  t.match(received.slice(0, 20), 'HTTP/1.1 200 OK')
  t.ok(received.indexOf(' 101 ') > body.length, 'the answers come in the order of the requests')
  client.close()
  const next = await fetch(origin)
  t.equal((await next.text()).length, body.length, 'and the gateway lives')
})

t.test('an Upgrade that is ignored may come behind a request that is not answered yet', async (t) => {
  const up = await httpUpstream(t, ({ url }, response) => {
    setTimeout(() => response.end(`<${url}>`), 20)
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const ask = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`
  const client = new RawClient(origin).write(ask('/1') + ask('/2') + ask('/3'))
  const received = await client.until(/<\/3>/)
  t.same(received.match(/<\/\d>/g), ['</1>', '</2>', '</3>'])
  client.close()
})

t.test('a client that leaves cancels every request it had sent ahead', async (t) => {
  let open = 0
  let begun = 0
  const up = await httpUpstream(t, (_request, response) => {
    open += 1
    begun += 1
    response.once('close', () => {
      open -= 1
    })
  })
  const { origin, stop } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(4))
  await until(() => open === 1)
  client.close()
  await until(() => open === 0)
  t.equal(begun, 1, 'the service works for nobody')
  const before = performance.now()
  await stop()
  t.ok(performance.now() - before < 5000, 'a drain does not wait for them')
})

t.test('a client that leaves while an upgrade waits cancels it', async (t) => {
  let open = 0
  const up = await httpUpstream(t, () => {})
  up.server.on('upgrade', (_request, socket) => {
    open += 1
    socket.resume().once('end', () => {
      open -= 1
    })
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write(upgrade)
  await until(() => open === 1)
  client.socket.end()
  await until(() => open === 0)
  t.pass('cancelled')
})

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not come to that')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
