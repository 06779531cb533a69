import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Agent, request as send } from 'undici'
import { ask } from '../support/client.ts'
import { type StartedGateway, startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { runToll } from '../support/running.ts'
import { storeConfigs } from '../support/stores.ts'
import { httpUpstream } from '../support/upstream.ts'

/** A gateway over some nodes, and the admin API of its service. */
async function start(t: Test, nodes: readonly string[], store?: object) {
  const config = (more: object = {}) => ({
    ...(store !== undefined && { store }),
    services: { orders: { nodes } },
    routes: [{ id: 'orders', path: '/orders/*', service: 'orders', auth: 'none' }],
    doors: { admin: { max: 1_000_000 } },
    ...more
  })
  const started = await startGateway(t, config())
  return { ...started, ...adminOf(started), config }
}

interface ShownNode {
  readonly id: string
  readonly url: string
  readonly weight: number
  readonly state: string
  readonly inFlight: number
  readonly source: string
}

function adminOf({ admin, origin, directory }: StartedGateway) {
  const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  const call = (method: string, id = '', json?: unknown, service = 'orders') =>
    ask(method, `${admin}/admin/services/${service}/nodes${id === '' ? '' : `/${id}`}`, {
      token,
      ...(json !== undefined && { json })
    })
  const nodes = async () => (await call('GET')).body.nodes as readonly ShownNode[]
  const idOf = async (url: string) => (await nodes()).find((node) => node.url === url)?.id ?? ''
  const get = async (path = '/orders/1') => (await ask('GET', origin + path)).text
  const env = { TOLL_ADMIN_URL: admin, TOLL_ADMIN_TOKEN: token }
  const toll = async (t: Test, ...args: readonly string[]) => {
    const { ended, output } = runToll(t, ['node', ...args], {}, env)
    const code = await ended
    return { code, out: output.out.trim(), err: output.err.trim() }
  }
  return { token, call, nodes, idOf, get, toll, env }
}

/** A node that says its name; what is asked for under /slow it keeps until it is told to finish. */
async function named(t: Test, name: string) {
  const waiting: (() => void)[] = []
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.url === '/orders/slow') waiting.push(() => response.end(name))
    else response.end(name)
  })
  return { ...upstream, waiting }
}

async function until(isSo: () => boolean | Promise<boolean>, what: string, patience = 15_000) {
  const deadline = Date.now() + patience
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The names of those who answer so many requests. */
async function who(get: () => Promise<string>, count = 8): Promise<string[]> {
  const names = new Set<string>()
  for (let n = 0; n < count; n += 1) names.add(await get())
  return [...names].toSorted()
}

t.test('a node is added, weighted, drained, set up again and taken out while the gateway runs', async (t) => {
  for (const store of await storeConfigs(t)) {
    const [a, b] = [await named(t, 'a'), await named(t, 'b')]
    const { call, nodes, get, idOf } = await start(t, [a.url], store)
    const added = await call('POST', '', { url: b.url, weight: 3 })
    t.equal(added.status, 201)
    const id = await idOf(b.url)
    t.equal(added.headers.get('location'), `/admin/services/orders/nodes/${id}`)
    t.match(added.body, { id, url: b.url, weight: 3, state: 'up', source: 'attached' })
    t.same(await who(get), ['a', 'b'])
    t.match((await call('PUT', id, { weight: 0 })).body, { id, weight: 0 })
    t.same(await who(get), ['a'])
    t.match((await call('PUT', id, { weight: 1, state: 'drain' })).body, { weight: 1, state: 'drain' })
    t.same(await who(get), ['a'])
    t.match((await call('GET', id)).body, { id, state: 'drain', inFlight: 0, elsewhere: 0 })
    t.match((await call('PUT', id, { state: 'up' })).body, { weight: 1, state: 'up' })
    t.same(await who(get), ['a', 'b'])
    t.match((await call('PUT', await idOf(a.url), { state: 'down' })).body, { state: 'down' })
    t.same(await who(get), ['b'])
    t.match((await call('PUT', await idOf(a.url), { state: 'up' })).body, { state: 'up' })
    t.match((await call('DELETE', id)).body, { id, inFlight: 0, warning: undefined })
    t.same(await who(get), ['a'])
    t.equal((await call('GET', id)).status, 404)
    t.equal((await nodes()).length, 1)
  }
})

t.test(
  'a node of the config can be taken out and brought back, and the last one goes with a warning',
  async (t) => {
    const a = await named(t, 'a')
    const { call, get, idOf, log } = await start(t, [a.url])
    const id = await idOf(a.url)
    t.match((await call('DELETE', id)).body, { id, warning: /"orders" has no node left/ })
    t.ok(log().some(({ level, msg }) => level === 'warn' && /no node left/.test(String(msg))))
    t.match(await get(), /UPSTREAM_UNAVAILABLE/)
    t.match((await call('GET')).body, { nodes: [], detached: [{ id, url: a.url }] })
    t.match((await call('POST', '', { url: a.url })).body, { id, source: 'config', state: 'up' })
    t.equal(await get(), 'a')
    t.match((await call('PUT', id, { state: 'drain' })).body, { warning: /no node left/ })
  }
)

t.test('what cannot be is refused with what is wrong, and changes nothing', async (t) => {
  const a = await named(t, 'a')
  const { call, nodes, idOf, token, admin } = await start(t, [a.url])
  const id = await idOf(a.url)
  const before = await nodes()
  const wrong: readonly (readonly [method: string, id: string, body: unknown, detail: RegExp])[] = [
    ['POST', '', {}, /"url" is missing/],
    ['POST', '', [], /Send a JSON object, such as \{"url"/],
    ['POST', '', { url: 'ftp://x' }, /"url" has to be where the node is, such as/],
    ['POST', '', { url: 'http://user:secret@x' }, /"url" has to be/],
    ['POST', '', { url: 'http://x:99999' }, /"url" has to be/],
    ['POST', '', { url: 7 }, /"url" has to be/],
    ['POST', '', { url: 'http://x', weight: 1001 }, /"weight" has to be a whole number from 0 to 1000/],
    ['POST', '', { url: 'http://x', weight: '2' }, /"weight" has to be/],
    ['POST', '', { url: 'http://x', id: '../a' }, /"id" has to be text/],
    ['POST', '', { url: 'http://x', wieght: 2 }, /"wieght" is not known here; did you mean "weight"\?/],
    ['POST', '', { url: a.url }, /"orders" has this node already, as "orders-[0-9a-f]+"/],
    ['POST', '', { url: `${a.url}/` }, /has this node already/],
    ['POST', '', { url: 'http://127.0.0.1:1', id }, /has another node with the id/],
    ['PUT', id, {}, /Send "weight", "state" or both/],
    ['PUT', id, { state: 'gone' }, /"state" has to be "up", "drain" or "down"/],
    ['PUT', id, { url: 'http://x' }, /"url" is not known here; there are "weight" or "state"/],
    ['PUT', id, undefined, /Send a JSON object, such as \{"state"/]
  ]
  for (const [method, node, body, detail] of wrong) {
    const { status, body: problem } = await call(method, node, body)
    t.match({ status, ...problem }, { status: 400, code: 'BAD_REQUEST', detail }, JSON.stringify(body))
  }
  for (const [method, body] of [
    ['PUT', { weight: 1 }],
    ['DELETE', undefined],
    ['GET', undefined]
  ] as const) {
    t.match(await call(method, 'nobody', body), {
      status: 404,
      body: { detail: 'There is no node "nobody".' }
    })
    t.match((await call(method, 'x', body, 'none')).body, { detail: 'There is no service "none".' })
  }
  t.same(await nodes(), before)
  t.equal((await ask('PUT', `${admin}/admin/services/orders/nodes/${id}`, { json: {} })).status, 401)
  t.ok(token)
})

t.test('what was changed survives reloads, also those that touch the service', async (t) => {
  const [a, b, c] = [await named(t, 'a'), await named(t, 'b'), await named(t, 'c')]
  const { call, get, idOf, reconfigure, config } = await start(t, [a.url])
  await call('POST', '', { url: b.url })
  await call('PUT', await idOf(a.url), { state: 'drain' })
  t.equal((await reconfigure(config({ guard: {}, log: { access: false } }))).outcome, 'applied')
  t.same(await who(get), ['b'])
  const services = { orders: { nodes: [a.url, c.url], timeouts: { response: '3s' } } }
  t.equal((await reconfigure(config({ services }))).outcome, 'applied')
  t.same(await who(get), ['b', 'c'])
  t.match((await call('GET')).body.nodes as object[], [{ state: 'drain' }, { state: 'up' }, { url: b.url }])
})

/** So many gateways on one Redis that is the test's own. */
async function cluster(t: Test, nodes: readonly string[], count: number) {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = { driver: 'redis', url: redis.url, timeout: '2s' }
  const join = () => start(t, nodes, store)
  return { redis, join, gateways: await Promise.all(Array.from({ length: count }, join)) }
}

t.test(
  'two gateways on one Redis follow each other, and a third that starts later knows it too',
  async (t) => {
    const [a, b] = [await named(t, 'a'), await named(t, 'b')]
    const { gateways, join } = await cluster(t, [a.url], 2)
    const [one, two] = gateways as [(typeof gateways)[0], (typeof gateways)[0]]
    const delays: number[] = []
    const followed = async (isSo: () => boolean | Promise<boolean>, what: string) => {
      const changedAt = performance.now()
      await until(isSo, what)
      delays.push(Math.round(performance.now() - changedAt))
    }
    const has = async (count: number) => (await two.nodes()).length === count
    await one.call('POST', '', { url: b.url, id: 'b' })
    await followed(() => has(2), 'the other gateway has the node')
    t.same(await who(two.get), ['a', 'b'])
    await two.call('PUT', 'b', { state: 'drain' })
    await followed(
      async () => (await one.call('GET', 'b')).body.state === 'drain',
      'the first one has the state'
    )
    t.same(await who(one.get), ['a'])
    const three = await join()
    t.match(await three.nodes(), [
      { url: a.url },
      { id: 'b', url: b.url, state: 'drain', source: 'attached' }
    ])
    t.same(await who(three.get), ['a'])
    await three.call('DELETE', 'b')
    await followed(() => has(1), 'the node is gone everywhere')
    t.comment(`followed after ${delays.join(', ')} ms`)
  }
)

t.test('two processes on one embedded store follow each other', async (t) => {
  const [a, b] = [await named(t, 'a'), await named(t, 'b')]
  const store = { driver: 'embedded', path: join(t.testdir(), 'store') }
  const [one, two] = [await start(t, [a.url], store), await start(t, [a.url], store)]
  await one.call('POST', '', { url: b.url })
  await until(async () => (await two.nodes()).length === 2, 'the other gateway has the node')
  t.same(await who(two.get), ['a', 'b'])
})

t.test('changes that are made at once at two gateways all hold', async (t) => {
  const a = await named(t, 'a')
  const { gateways } = await cluster(t, [a.url], 2)
  const added = await Promise.all(
    Array.from({ length: 12 }, (_, n) =>
      gateways[n % 2]!.call('POST', '', { url: `http://127.0.0.1:${n + 1}`, id: `n${n}` })
    )
  )
  t.same(new Set(added.map(({ status }) => status)), new Set([201]))
  await Promise.all([
    gateways[0]!.call('PUT', 'n3', { weight: 7 }),
    gateways[1]!.call('PUT', 'n3', { state: 'drain' })
  ])
  const n3 = async (at: number) => (await gateways[at]!.call('GET', 'n3')).body
  for (const at of [0, 1]) {
    await until(async () => (await gateways[at]!.nodes()).length === 13, 'all are there')
    await until(async () => (await n3(at)).weight === 7 && (await n3(at)).state === 'drain', 'both hold')
  }
  t.pass('both gateways have all of them')
})

t.test(
  'while the store is away nothing changes and the answer says so; then the gateways follow again',
  async (t) => {
    const [a, b] = [await named(t, 'a'), await named(t, 'b')]
    const { redis, gateways } = await cluster(t, [a.url], 2)
    const [one, two] = gateways as [(typeof gateways)[0], (typeof gateways)[0]]
    await one.call('POST', '', { url: b.url, id: 'b' })
    await until(async () => (await two.nodes()).length === 2, 'the other gateway has the node')
    await redis.kill()
    for (const [method, id, body] of [
      ['PUT', 'b', { state: 'down' }],
      ['DELETE', 'b', undefined],
      ['POST', '', { url: 'http://127.0.0.1:1' }]
    ] as const) {
      const refused = await one.call(method, id, body)
      t.match(refused, { status: 503, body: { code: 'STORE_UNAVAILABLE' } }, method)
      t.ok(refused.headers.get('retry-after'))
    }
    t.same(await who(one.get), ['a', 'b'], 'and both nodes serve on')
    t.match(await one.nodes(), [{ url: a.url }, { id: 'b', state: 'up' }])
    // It kept nothing on disk: what the gateways know is told it again.
    await redis.restart()
    const lifted = async () => (await one.call('PUT', 'b', { state: 'drain' })).status === 200
    await until(lifted, 'the store is used again')
    await until(async () => (await two.call('GET', 'b')).body.state === 'drain', 'the other gateway follows')
    t.match(await two.nodes(), [{ url: a.url }, { id: 'b', url: b.url, state: 'drain' }])
  }
)

t.test('fifty nodes come and go under load, and no request fails', async (t) => {
  const ups = [await named(t, 'a'), await named(t, 'b'), await named(t, 'c')]
  const [a, b, c] = ups as [(typeof ups)[0], (typeof ups)[0], (typeof ups)[0]]
  const { call, origin } = await start(t, [a.url])
  const agent = new Agent({ connections: 8 })
  t.teardown(() => agent.close())
  const failed: unknown[] = []
  let asked = 0
  let isOver = false
  const client = async () => {
    while (!isOver) {
      asked += 1
      const isPost = asked % 5 === 0
      const { statusCode, body } = await send(`${origin}/orders/1`, {
        dispatcher: agent,
        method: isPost ? 'POST' : 'GET',
        body: isPost ? 'x'.repeat(2000) : null
      })
      const text = await body.text()
      if (statusCode !== 200) failed.push(text)
      // A few hundred a second are enough.
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  const clients = Array.from({ length: 8 }, client)
  const startedAt = performance.now()
  for (let cycle = 0; cycle < 50; cycle += 1) {
    const { url } = cycle % 2 === 0 ? b : c
    const { body } = await call('POST', '', { url, weight: 4 })
    const before = ups[(cycle % 2) + 1]!.requests.length
    await until(() => ups[(cycle % 2) + 1]!.requests.length > before, 'the new node is asked')
    if (cycle % 3 === 0) await call('PUT', String(body.id), { state: 'drain' })
    t.equal((await call('DELETE', String(body.id))).status, 200)
  }
  isOver = true
  await Promise.all(clients)
  t.same(failed, [])
  t.comment(`${asked} requests in ${Math.round(performance.now() - startedAt)} ms`)
  const [b1, c1] = [b.requests.length, c.requests.length]
  for (let n = 0; n < 20; n += 1) await ask('GET', `${origin}/orders/1`)
  t.same([b.requests.length, c.requests.length], [b1, c1], 'who is out is asked no more')
})

t.test('toll node drain shows what is still running, here and elsewhere, until nothing is', async (t) => {
  const [a, b] = [await named(t, 'a'), await named(t, 'b')]
  const { gateways } = await cluster(t, [a.url], 2)
  const [one, two] = gateways as [(typeof gateways)[0], (typeof gateways)[0]]
  await one.call('POST', '', { url: b.url, id: 'b', weight: 1000 })
  await until(async () => (await two.nodes()).length === 2, 'the other gateway has the node')
  const slow = [one, two, two].map(async ({ origin }) => (await fetch(`${origin}/orders/slow`)).text())
  await until(() => a.waiting.length + b.waiting.length === 3, 'three requests run')
  t.equal(b.waiting.length, 3, 'nearly everything goes to the heavy node')
  const stuck = await one.toll(t, 'drain', 'b', '--timeout', '3s', '--json')
  t.equal(stuck.code, 3)
  t.match(JSON.parse(stuck.out), { id: 'b', state: 'drain', inFlight: 1, elsewhere: 2, drained: false })
  t.match(await two.toll(t, 'up', 'b'), { code: 0, out: 'b takes requests again.' })
  const { ended, output, seen } = runToll(t, ['node', 'drain', 'b'], {}, one.env)
  await seen(/^b: 3 requests are still running, 2 of them at other gateways$/m)
  await until(async () => (await two.call('GET', 'b')).body.state === 'drain', 'the other gateway drains too')
  const before = b.requests.length
  t.same(await who(one.get), ['a'])
  t.same(await who(two.get), ['a'])
  t.equal(b.requests.length, before, 'a drained node gets nothing new')
  b.waiting.splice(0, 2).map((finish) => finish())
  await seen(/^b: 1 request is still running/m)
  for (const finish of b.waiting.splice(0)) finish()
  t.equal(await ended, 0, output.err)
  t.match(output.out, /^b: drained\.$/m)
  t.same(await Promise.all(slow), ['b', 'b', 'b'], 'what was running was finished')
})

t.test('toll node lists, adds, weighs and removes', async (t) => {
  const [a, b] = [await named(t, 'a'), await named(t, 'b')]
  const { toll, idOf } = await start(t, [a.url])
  t.match(await toll(t, 'add', 'orders', b.url, '--id', 'b', '--weight', '2'), {
    code: 0,
    out: 'Added b to "orders".'
  })
  const listed = await toll(t, 'ls')
  t.match(listed.out, new RegExp(`^b\torders\t${b.url}\t2\tup\twell\t0\tattached$`, 'm'))
  t.match(await toll(t, 'weight', 'b', '5'), { code: 0, out: 'b has the weight 5.' })
  t.match(await toll(t, 'weight', 'b', 'much'), { code: 1, err: 'toll: "much" is not a whole number.' })
  t.match(await toll(t, 'down', 'b'), { code: 0, out: 'b gets nothing more.' })
  t.match(await toll(t, 'drain', 'b', '--no-wait'), { code: 0, out: 'b gets nothing new.' })
  t.match(await toll(t, 'up', 'bb'), { code: 1, err: /no service has a node "bb"; did you mean "b"\?/ })
  t.match(await toll(t, 'add', 'orders', b.url), { code: 1, err: /has this node already, as "b"/ })
  t.match(await toll(t, 'rm', 'b', '--json'), { code: 0, out: /^\{"id":"b","inFlight":0\}$/ })
  t.match(await toll(t, 'rm', await idOf(a.url)), { code: 0, err: /^warning: "orders" has no node left/ })
  const detached = JSON.parse((await toll(t, 'ls', 'orders', '--json')).out)
  t.match(detached, [{ name: 'orders', nodes: [], detached: [{ url: a.url }] }])
})
