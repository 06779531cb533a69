import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { ask, openPool, until } from '../support/pools.ts'
import { configFor, httpUpstream, RawClient, rawUpstream } from '../support/upstream.ts'

const hello = (t: Parameters<typeof httpUpstream>[0], body: string) =>
  httpUpstream(t, (_, response) => response.end(body))

/** A service that answers when it is told to. */
async function patient(t: Parameters<typeof httpUpstream>[0]) {
  const waiting: (() => void)[] = []
  const up = await httpUpstream(t, (_, response) => waiting.push(() => response.end('late')))
  const finish = () => {
    for (const answer of waiting.splice(0)) answer()
  }
  return { ...up, finish }
}

t.test('a node that is attached gets requests, and one that is detached none', async (t) => {
  const [one, two] = [await hello(t, 'one'), await hello(t, 'two')]
  const { pool } = openPool(t, { nodes: [one.url] })
  const attached = pool.attach({ url: two.url })
  t.match(attached, { url: two.url, weight: 1, state: 'up', health: 'well', source: 'attached', inFlight: 0 })
  t.same([(await ask(pool)).body, (await ask(pool)).body].sort(), ['one', 'two'])
  t.throws(() => pool.attach({ url: `${two.url}/` }), { code: 'BAD_REQUEST' })
  t.throws(() => pool.attach({ url: one.url }), { code: 'BAD_REQUEST' })
  t.throws(() => pool.attach({ url: 'ftp://a' }), { code: 'BAD_REQUEST' })
  t.equal(pool.detach(attached.id), attached)
  t.equal(pool.detach(attached.id), undefined)
  t.equal(pool.nodes.length, 1)
  for (let count = 0; count < 4; count += 1) t.equal((await ask(pool)).body, 'one')
})

t.test('a node of the config can be detached, and attached again', async (t) => {
  const [one, two] = [await hello(t, 'one'), await hello(t, 'two')]
  const { pool } = openPool(t, { nodes: [one.url, two.url] })
  const { id } = pool.nodes[0]!
  pool.detach(id)
  for (let count = 0; count < 4; count += 1) t.equal((await ask(pool)).body, 'two')
  t.equal(pool.attach({ url: one.url }).id, id)
  t.match(pool.nodes[0], { id, source: 'config' })
  t.same([(await ask(pool)).body, (await ask(pool)).body].sort(), ['one', 'two'])
})

t.test('a drained node finishes what it has, visibly, and takes nothing new', async (t) => {
  const [one, two] = [await patient(t), await hello(t, 'two')]
  const { pool } = openPool(t, { nodes: [one.url, { url: two.url, weight: 1 }] })
  const late = ask(pool)
  await until(() => one.requests.length === 1, 'the request arrives')
  const node = pool.update(pool.nodes[0]!.id, { state: 'drain' })!
  t.match(node, { state: 'drain', inFlight: 1 })
  for (let count = 0; count < 4; count += 1) t.equal((await ask(pool)).body, 'two')
  one.finish()
  t.equal((await late).body, 'late')
  t.equal(node.inFlight, 0)
  t.equal(one.requests.length, 1)
  pool.update(node.id, { state: 'up' })
  const again = [ask(pool), ask(pool)]
  await until(() => one.requests.length === 2, 'it is asked again')
  one.finish()
  await Promise.all(again)
})

t.test('with all nodes drained or down there is nobody to ask', async (t) => {
  const { pool } = openPool(t, { nodes: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] })
  pool.update(pool.nodes[0]!.id, { state: 'drain' })
  pool.update(pool.nodes[1]!.id, { state: 'down' })
  t.match((await ask(pool)).failure, { kind: 'unavailable', reason: 'no_node' })
  t.equal(pool.figures.unserved, 1)
  t.equal(pool.update('none', { state: 'up' }), undefined)
})

t.test('what was changed while running holds across reloads, and can be taken elsewhere', async (t) => {
  const [one, two, three] = [await hello(t, 'one'), await hello(t, 'two'), await hello(t, 'three')]
  const opened = openPool(t, { nodes: [one.url, two.url] })
  const [first, second] = opened.pool.nodes
  opened.pool.update(first!.id, { weight: 7 })
  opened.pool.update(second!.id, { state: 'drain' })
  opened.pool.attach({ id: 'extra', url: three.url, weight: 2 })
  const next = await opened.reload({ nodes: [two.url, one.url], retry: { attempts: 0 } })
  const shown = (pool: typeof next) =>
    pool.nodes.map(({ id, weight, state, source }) => ({ id, weight, state, source }))
  const expected = [
    { id: second!.id, weight: 1, state: 'drain', source: 'config' },
    { id: first!.id, weight: 7, state: 'up', source: 'config' },
    { id: 'extra', weight: 2, state: 'up', source: 'attached' }
  ]
  t.same(shown(next), expected)
  // Another gateway of the same service, from what the store has.
  const other = openPool(t, { nodes: [two.url, one.url] }).pool
  const stored = JSON.parse(JSON.stringify(next.overrides))
  for (let count = 0; count < 2; count += 1) {
    other.apply(stored)
    t.same(shown(other), expected)
  }
  other.apply([])
  t.match(shown(other), [{ weight: 1, state: 'up' }, { weight: 1 }])
  t.equal(other.nodes.length, 2)
  other.apply([{ id: 'bad', url: 'nonsense' }])
  t.equal(other.nodes.length, 2, 'what cannot be a node is left out')
})

t.test('an attached node that the config has as well after a reload is the same node', async (t) => {
  const [one, two] = [await hello(t, 'one'), await hello(t, 'two')]
  const opened = openPool(t, { nodes: [one.url] })
  const attached = opened.pool.attach({ url: two.url })
  const next = await opened.reload({ nodes: [one.url, two.url] })
  t.equal(next.nodes[1], attached)
  t.equal(attached.source, 'config')
})

t.test('a reload that removes a node breaks nothing that it has under way', async (t) => {
  const [one, two] = [await patient(t), await hello(t, 'two')]
  const { origin, reconfigure } = await startGateway(t, configFor([one.url]))
  const late = fetch(`${origin}/`)
  await until(() => one.requests.length === 1, 'the request arrives')
  t.equal((await reconfigure(configFor([two.url]))).outcome, 'applied')
  for (let count = 0; count < 4; count += 1) t.equal(await (await fetch(`${origin}/`)).text(), 'two')
  one.finish()
  t.equal(await (await late).text(), 'late')
  t.equal(one.requests.length, 1)
})

t.test('connections outlive a reload that changes everything around them', async (t) => {
  const [one, two] = [await hello(t, 'one'), await hello(t, 'two')]
  const { origin, reconfigure } = await startGateway(t, configFor([one.url]))
  t.equal(await (await fetch(`${origin}/`)).text(), 'one')
  const service = { balance: 'least-connections', connections: { max: 5 }, timeouts: { response: '9s' } }
  await reconfigure(configFor([two.url, one.url], { service }))
  for (let count = 0; count < 6; count += 1) await (await fetch(`${origin}/`)).text()
  t.ok(one.requests.length > 1)
  t.equal(new Set(one.requests.map(({ socket }) => socket)).size, 1)
})

t.test('a limit on connections changes with a reload, for the nodes that stay', async (t) => {
  const up = await patient(t)
  const opened = openPool(t, { nodes: [up.url], connections: { max: 1, queue: 10 } })
  const first = [ask(opened.pool), ask(opened.pool)]
  await until(() => up.requests.length === 1, 'the first request arrives')
  const next = await opened.reload({ nodes: [up.url], connections: { max: 3, queue: 10 } })
  const second = [ask(next), ask(next)]
  await until(() => up.requests.length >= 3, 'more connections are made')
  while (next.nodes[0]!.inFlight > 0) {
    up.finish()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  for (const { status } of await Promise.all([...first, ...second])) t.equal(status, 200)
})

t.test('a WebSocket counts as under way until it ends', async (t) => {
  const up = await rawUpstream(t, (connection) => {
    if (!connection.received.endsWith('\r\n\r\n')) return
    connection.received = ''
    connection.socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
    )
  })
  const config = { ...configFor([up.url]), admin: { token: 'x'.repeat(43) } }
  const { origin, admin } = await startGateway(t, config)
  const inFlight = async () => {
    const headers = { authorization: `Bearer ${'x'.repeat(43)}` }
    const answer = (await (await fetch(`${admin}/admin/services/up/nodes`, { headers })).json()) as {
      nodes: { inFlight: number }[]
    }
    return answer.nodes[0]!.inFlight
  }
  const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
  const client = new RawClient(origin).write(
    `GET / HTTP/1.1\r\nHost: a\r\n${upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
  )
  await client.until(/ 101 /)
  t.equal(await inFlight(), 1)
  client.close()
  up.connections[0]!.socket.end()
  for (let count = 0; (await inFlight()) > 0; count += 1) {
    if (count > 500) throw new Error('it is still counted')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
})
