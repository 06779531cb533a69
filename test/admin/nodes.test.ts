import { join } from 'node:path'
import t from 'tap'
import { Agent, request as send } from 'undici'
import { ask } from '../support/client.ts'
import { cluster, named, startOver, until, who } from '../support/nodes.ts'
import { storeConfigs } from '../support/stores.ts'
import { RawClient } from '../support/upstream.ts'

t.test('a node is added, weighted, drained, set up again and taken out while the gateway runs', async (t) => {
  for (const store of await storeConfigs(t)) {
    const [a, b] = [await named(t, 'a'), await named(t, 'b')]
    const { call, nodes, get, idOf } = await startOver(t, [a.url], store)
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
    const { call, get, idOf, log } = await startOver(t, [a.url])
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

t.test('a new node does not take the id of one of the config that was taken out', async (t) => {
  const [a, b, c] = [await named(t, 'a'), await named(t, 'b'), await named(t, 'c')]
  const { call, nodes, get } = await startOver(t, [a.url, { id: 'b', url: b.url }])
  t.equal((await call('DELETE', 'b')).status, 200)
  t.match(await call('POST', '', { url: c.url, id: 'b' }), {
    status: 400,
    body: { detail: '"orders" has another node with the id "b".' }
  })
  t.match(await nodes(), [{ url: a.url }])
  t.same(await who(get), ['a'], 'who was taken out stays out')
  t.equal((await call('POST', '', { url: b.url })).status, 201, 'and can be brought back')
})

t.test('what cannot be is refused with what is wrong, and changes nothing', async (t) => {
  const a = await named(t, 'a')
  const { call, nodes, idOf, token, admin } = await startOver(t, [a.url])
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
  const { call, get, idOf, reconfigure, config } = await startOver(t, [a.url])
  await call('POST', '', { url: b.url })
  await call('PUT', await idOf(a.url), { state: 'drain' })
  t.equal((await reconfigure(config({ guard: {}, log: { access: false } }))).outcome, 'applied')
  t.same(await who(get), ['b'])
  const services = { orders: { nodes: [a.url, c.url], timeouts: { response: '3s' } } }
  t.equal((await reconfigure(config({ services }))).outcome, 'applied')
  t.same(await who(get), ['b', 'c'])
  t.match((await call('GET')).body.nodes as object[], [{ state: 'drain' }, { state: 'up' }, { url: b.url }])
})

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
  const [one, two] = [await startOver(t, [a.url], store), await startOver(t, [a.url], store)]
  await one.call('POST', '', { url: b.url })
  await until(async () => (await two.nodes()).length === 2, 'the other gateway has the node')
  t.same(await who(two.get), ['a', 'b'])
})

t.test('changes that are made at once at two gateways all hold', async (t) => {
  const a = await named(t, 'a')
  const path = join(t.testdir(), 'store')
  const embedded = { driver: 'embedded', path }
  const pairs = [
    (await cluster(t, [a.url], 2)).gateways,
    [await startOver(t, [a.url], embedded), await startOver(t, [a.url], embedded)]
  ]
  for (const gateways of pairs) {
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

t.test('a Redis that is emptied while it runs loses nothing that the gateways know', async (t) => {
  const [a, b] = [await named(t, 'a'), await named(t, 'b')]
  const { redis, gateways } = await cluster(t, [a.url], 2)
  const [one, two] = gateways as [(typeof gateways)[0], (typeof gateways)[0]]
  await one.call('POST', '', { url: b.url, id: 'b' })
  await one.call('PUT', 'b', { state: 'drain' })
  await until(async () => (await two.call('GET', 'b')).body.state === 'drain', 'the other gateway follows')
  const emptied = new RawClient(redis.url).write('FLUSHALL\r\n')
  await emptied.until(/^\+OK/)
  emptied.close()
  t.equal((await one.call('PUT', await one.idOf(a.url), { weight: 5 })).status, 200)
  await until(async () => (await two.nodes())[0]!.weight === 5, 'the other gateway follows again')
  for (const { nodes } of [one, two]) t.match(await nodes(), [{ weight: 5 }, { id: 'b', state: 'drain' }])
})

t.test('fifty nodes come and go under load, and no request fails', async (t) => {
  const ups = [await named(t, 'a'), await named(t, 'b'), await named(t, 'c')]
  const [a, b, c] = ups as [(typeof ups)[0], (typeof ups)[0], (typeof ups)[0]]
  const { call, origin } = await startOver(t, [a.url])
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
