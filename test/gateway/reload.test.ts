import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import WebSocket, { WebSocketServer } from 'ws'
import { startGateway } from '../support/gateway.ts'

/** An upstream that answers "<name> <path>" and echoes WebSocket messages. */
async function upstream(t: Test, name: string): Promise<string> {
  const server = createServer((request, response) => response.end(`${name} ${request.url}`))
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`${name} ${data}`)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const configOf = (node: string, limit: number) => ({
  log: { access: false },
  services: { echo: { nodes: [node] } },
  routes: [{ id: 'echo', path: '/*', service: 'echo', auth: 'none', limit: { qps: limit, slack: 1000 } }]
})

t.test('200 reloads under load, with open WebSockets: nothing fails, nothing closes', async (t) => {
  const node = await upstream(t, 'a')
  const { origin, reconfigure } = await startGateway(t, configOf(node, 100_000))

  // 1. Fifty WebSockets and eight clients that never pause.
  let closed = 0
  const sockets = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const socket = new WebSocket(origin.replace('http', 'ws'))
      await once(socket, 'open')
      socket.on('close', () => {
        closed += 1
      })
      return socket
    })
  )
  const agent = new Agent({ connections: 8 })
  let isOver = false
  const outcome = { good: 0, bad: 0 }
  const clients = Array.from({ length: 8 }, async () => {
    while (!isOver) {
      const answer = await request(`${origin}/x`, { dispatcher: agent }).catch(() => undefined)
      const text = await answer?.body.text()
      if (answer?.statusCode === 200 && text === 'a /x') outcome.good += 1
      else outcome.bad += 1
    }
  })

  // 2. Two hundred configs, every tenth of them broken.
  const outcomes: Record<string, number> = {}
  for (let index = 0; index < 200; index += 1) {
    const config = index % 10 === 9 ? { routes: 'none' } : configOf(node, 99_000 + index)
    const { outcome } = await reconfigure(config)
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  }
  isOver = true
  await Promise.all(clients)

  // 3. Not one request failed, not one socket closed, and the sockets still talk.
  t.same(outcomes, { applied: 180, refused: 20 })
  t.equal(outcome.bad, 0)
  t.ok(outcome.good > 200, `${outcome.good} requests were answered meanwhile`)
  t.equal(closed, 0)
  const [first] = sockets
  first!.send('still here')
  const [answer] = await once(first!, 'message')
  t.equal(String(answer), 'a still here')
  for (const socket of sockets) socket.terminate()
  await agent.close()
})

t.test('a config that cannot be read changes nothing and is visible', async (t) => {
  const node = await upstream(t, 'a')
  const { origin, admin, reconfigure } = await startGateway(t, configOf(node, 1000))

  const refused = await reconfigure({ ...configOf(node, 1000), rotues: [] })
  t.equal(refused.outcome, 'refused')
  t.match(refused.mistakes, /gateway\.config\.json:\d+:\d+ +error.*rotues[\s\S]*did you mean "routes"/)
  t.equal((await request(`${origin}/x`)).statusCode, 200)

  const ready = (await (await request(`${admin}/readyz?verbose`)).body.json()) as Record<
    string,
    Record<string, unknown>
  >
  t.equal(ready.ready, true)
  t.equal(ready.config!.outcome, 'rejected')
  t.match(ready.config!.mistakes, /rotues/)

  const mended = await reconfigure(configOf(node, 2000))
  t.equal(mended.outcome, 'applied')
  const after = (await (await request(`${admin}/readyz?verbose`)).body.json()) as Record<
    string,
    Record<string, unknown>
  >
  t.equal(after.config!.outcome, 'good')
})

t.test('the same text again is no reload', async (t) => {
  const node = await upstream(t, 'a')
  const { reconfigure } = await startGateway(t, configOf(node, 1000))
  t.equal((await reconfigure(configOf(node, 1000))).outcome, 'unchanged')
})

t.test('a listener cannot move while the gateway runs', async (t) => {
  const node = await upstream(t, 'a')
  const { reconfigure, origin } = await startGateway(t, configOf(node, 1000))
  const moved = await reconfigure({
    ...configOf(node, 1000),
    listen: { public: '127.0.0.1:1', admin: '127.0.0.1:0' }
  })
  t.equal(moved.outcome, 'refused')
  t.match(moved.mistakes, /listen\.public cannot change/)
  t.equal((await request(`${origin}/x`)).statusCode, 200)
})
