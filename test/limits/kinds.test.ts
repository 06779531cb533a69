import t, { type Test } from 'tap'
import { type Answer, ask } from '../support/client.ts'
import { type StartedGateway, startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { storeConfigs } from '../support/stores.ts'
import { httpUpstream } from '../support/upstream.ts'

const token = 'an-admin-token-of-some-length'

/** A gateway with one open route `/a`, limited as told; the service does as its listener does. */
async function limited(
  t: Test,
  limit: unknown,
  {
    listener = (_request, response) => response.end('ok'),
    store,
    serviceLimit
  }: { listener?: Parameters<typeof httpUpstream>[1]; store?: unknown; serviceLimit?: unknown } = {}
) {
  const { url } = await httpUpstream(t, listener)
  const config = (next: unknown) => ({
    ...(store !== undefined && { store }),
    admin: { token },
    services: { a: { nodes: [url], ...(serviceLimit !== undefined && { limit: serviceLimit }) } },
    routes: [{ id: 'a', path: '/a', service: 'a', auth: 'none', ...(next !== undefined && { limit: next }) }]
  })
  const gateway = await startGateway(t, config(limit))
  const get = (headers: Record<string, string> = {}) => ask('GET', `${gateway.origin}/a`, { headers })
  const statuses = async (count: number, headers?: Record<string, string>) => {
    const seen: number[] = []
    for (let index = 0; index < count; index += 1) seen.push((await get(headers)).status)
    return seen
  }
  const admin = (method: string, path = '', body?: unknown) => adminAsk(gateway, method, path, body)
  return {
    ...gateway,
    get,
    statuses,
    admin,
    reconfigureLimit: (next: unknown) => gateway.reconfigure(config(next))
  }
}

const adminAsk = ({ admin }: StartedGateway, method: string, path: string, body?: unknown): Promise<Answer> =>
  ask(method, `${admin}/admin/limits${path}`, { token, ...(body !== undefined && { json: body }) })

t.test('a quota is told in its own words, and refuses the fourth of three', async (t) => {
  for (const store of await storeConfigs(t)) {
    const { get, statuses } = await limited(t, { quota: 3, window: '1h', by: 'address' }, { store })
    const first = await get()
    t.equal(first.headers.get('ratelimit-policy'), '"a";q=3;w=3600')
    t.match(first.headers.get('ratelimit'), /^"a";r=2;t=3[67]\d\d$/)
    t.same(await statuses(2), [200, 200])
    const fourth = await get()
    t.equal(fourth.status, 429)
    t.match(fourth.body.detail, /^More than 3 requests in 1h for "a"; ask again after 3[67]\d\d s\.$/)
    t.match(fourth.headers.get('retry-after'), /^3[67]\d\d$/)
  }
})

t.test(
  'a request that costs five is counted as five, and what the service says of its cost on top',
  async (t) => {
    const { get, admin } = await limited(
      t,
      { qps: 1, slack: 29, by: 'route', cost: 5, costHeader: 'X-Cost' },
      { listener: (_request, response) => response.setHeader('x-cost', '12').end('ok') }
    )
    const first = await get()
    t.equal(first.headers.get('ratelimit'), '"a";r=25;t=5')
    t.equal(first.headers.get('x-cost'), '12', 'an answer is not changed')
    const second = await get()
    t.match(
      second.headers.get('ratelimit'),
      /^"a";r=1[34];/,
      '30 less 12 less 5, and what fell due meanwhile'
    )
    t.equal((await get()).status, 200, '6 were left, or 7 by now')
    t.equal((await get()).status, 429, 'and now it is 6 in debt')
    t.match((await admin('GET', '/route:a?key=all')).body, { standing: { allowed: false, remaining: 0 } })
  }
)

t.test('what a service says of a cost that is no number, or is less, changes nothing', async (t) => {
  const answers = ['none', '-5', '1e9', '', '1', '12345678901']
  const { get } = await limited(
    t,
    { qps: 0.01, slack: 99, by: 'route', costHeader: 'x-cost' },
    { listener: (_request, response) => response.setHeader('x-cost', answers.shift() ?? '').end('ok') }
  )
  for (let left = 99; left > 92; left -= 1) {
    t.match((await get()).headers.get('ratelimit'), new RegExp(`;r=${left};`))
  }
})

t.test('twenty at once at 10 a second all pass when they may wait, one after the other', async (t) => {
  for (const store of await storeConfigs(t)) {
    const limit = { qps: 10, slack: 0, by: 'route', mode: 'wait', maxWait: '5s' }
    const { get, origin } = await limited(t, limit, { store })
    const began = performance.now()
    const times = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { status } = await get()
        return { status, at: performance.now() - began }
      })
    )
    t.ok(
      times.every(({ status }) => status === 200),
      origin
    )
    const last = Math.max(...times.map(({ at }) => at))
    t.ok(last > 1850 && last < 4000, `the last after ${Math.round(last)} ms`)
  }
})

t.test(
  'who would have to wait for too long is refused at once, as is who finds the queue full',
  async (t) => {
    const limit = { qps: 10, slack: 0, by: 'route', mode: 'wait', maxWait: '500ms' }
    const { get, reconfigureLimit } = await limited(t, limit)
    const began = performance.now()
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { status } = await get()
        return { status, at: performance.now() - began }
      })
    )
    const passed = answers.filter(({ status }) => status === 200)
    const refusals = answers.filter(({ status }) => status === 429)
    t.equal(passed.length + refusals.length, 20)
    // On a busy machine they are not at once: whoever comes later may have what has become free by then.
    const spread = Math.max(...refusals.map(({ at }) => at))
    t.ok(passed.length >= 5 && passed.length <= 7 + spread / 100, `${passed.length} passed, ${spread} ms`)

    await reconfigureLimit({ ...limit, qps: 1, maxWait: '20s', maxQueue: 2 })
    const waiting = [get(), get(), get()]
    await new Promise((resolve) => setTimeout(resolve, 200))
    const refused = await get()
    t.equal(refused.status, 429)
    t.equal(refused.headers.get('retry-after'), '20')
    t.same((await Promise.all(waiting)).map(({ status }) => status).sort(), [200, 200, 200].sort())
  }
)

t.test(
  'no more requests are under way than may be, and each gives its place back however it ends',
  async (t) => {
    for (const [store, scope] of [
      ...(await storeConfigs(t)).map((one) => [one, 'exact'] as const),
      [undefined, 'local'] as const
    ]) {
      const held: { end(text: string): unknown }[] = []
      const { get, origin, admin } = await limited(
        t,
        { concurrency: 2, by: 'address', scope },
        { store, listener: (_request, response) => held.push(response) }
      )
      const leaving = new AbortController()
      const left = fetch(`${origin}/a`, { signal: leaving.signal }).catch(() => 'left')
      const first = get()
      while (held.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
      const third = await get()
      t.equal(third.status, 429)
      t.equal(third.headers.get('ratelimit-policy'), '"a";q=2;qu="concurrent-requests"')
      t.equal(third.headers.get('ratelimit'), '"a";r=0;t=1')
      t.match(third.body.detail, 'More than 2 requests at the same time for "a"; ask again after 1 s.')
      t.match((await admin('GET', `/route:a?key=ip:127.0.0.1`)).body, {
        standing: { allowed: false, remaining: 0 }
      })
      // 1. a client that leaves
      leaving.abort()
      t.equal(await left, 'left')
      const fourth = await getIn(get, held)
      // 2. an answer
      held[1]!.end('done')
      held[0]!.end('done')
      held[2]!.end('done')
      t.equal((await first).status, 200)
      t.equal((await fourth.answer).status, 200)
      const fifth = await getIn(get, held)
      held[3]!.end('done')
      t.equal((await fifth.answer).status, 200)
      t.equal(held.length, 4, `places came back (${scope})`)
    }
  }
)

t.test('several limits of a route all hold, each by its own name', async (t) => {
  const { get } = await limited(t, [
    { qps: 100, slack: 100, by: 'route' },
    { name: 'daily', quota: 2, window: '1d', by: ['address', 'header:x-tenant'] }
  ])
  const first = await get({ 'x-tenant': 'one' })
  t.equal(first.headers.get('ratelimit-policy'), '"a";q=100;w=1, "daily";q=2;w=86400')
  t.match(first.headers.get('ratelimit'), /^"daily";r=1;/, 'the tightest')
  t.equal((await get({ 'x-tenant': 'one' })).status, 200)
  const refused = await get({ 'x-tenant': 'one' })
  t.match(refused.body.detail, /^More than 2 requests in 1d for "daily"/)
  t.equal((await get({ 'x-tenant': 'two' })).status, 200, 'each combination has its own')
})

t.test(
  'a limit in the shadow refuses nobody, tells clients nothing, and says whom it would refuse',
  async (t) => {
    const {
      get,
      statuses,
      log,
      admin,
      admin: _,
      ...gateway
    } = await limited(t, { qps: 0.01, slack: 0, by: 'route', shadow: true })
    t.same(await statuses(3), [200, 200, 200])
    t.equal((await get()).headers.get('ratelimit-policy'), null)
    t.same(
      log()
        .filter(({ msg }) => msg === 'request')
        .map(({ shadow }) => shadow),
      [undefined, 'a', 'a', 'a']
    )
    t.match((await admin('GET', '/route:a')).body, { shadow: true, figures: { shadowed: 3 } })
    const metrics = await ask('GET', `${gateway.gateway.addresses.admin}/metrics`)
    t.match(metrics.text, /^tollkeeper_limit_shadow_refusals_total{limit="route:a"} 3$/m)
  }
)

t.test('a leased limit lets the same through, and asks the store for a few of many', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = { driver: 'redis', url: redis.url, timeout: '2s' }
  const { get, gateway } = await limited(
    t,
    { qps: 1000, slack: 200, by: 'route', scope: 'leased' },
    { store }
  )
  for (let round = 0; round < 20; round += 1) {
    const answers = await Promise.all(Array.from({ length: 10 }, () => get()))
    t.ok(answers.every(({ status }) => status === 200))
  }
  t.equal((await get()).headers.get('ratelimit-policy'), '"a";q=1000;w=1')
  const metrics = (await ask('GET', `${gateway.addresses.admin}/metrics`)).text
  t.match(metrics, /^tollkeeper_limit_decisions_total{limit="route:a",by="lease",verdict="allowed"} 201$/m)
})

t.test(
  'other numbers hold at every gateway on the store, also after a reload, until they are taken back',
  async (t) => {
    for (const store of await storeConfigs(t)) {
      const limit = { qps: 0.01, slack: 1, by: 'header:x-who' }
      // The embedded store is one directory; two gateways of one process share it by its absolute path.
      const shared = store.driver === 'embedded' ? { ...store, path: `${t.testdir()}/store` } : store
      const [a, b] = [await limited(t, limit, { store: shared }), await limited(t, limit, { store: shared })]
      t.same(await a.statuses(3, { 'x-who': 'kim' }), [200, 200, 429])
      const changed = await a.admin('PUT', '/route:a', { qps: 0.01, slack: 9 })
      t.match(changed.body, { id: 'route:a', qps: 0.01, slack: 9, changed: true })
      await until(async () => (await b.admin('GET', '/route:a')).body.slack === 9)
      t.same(await b.statuses(11, { 'x-who': 'eve' }), [...Array(10).fill(200), 429])
      await a.reconfigureLimit({ ...limit, slack: 2 })
      t.match((await a.admin('GET', '/route:a')).body, { slack: 9, changed: true })
      t.match((await b.admin('DELETE', '/route:a')).body, { slack: 1, changed: false })
      await until(async () => (await a.admin('GET', '/route:a')).body.slack === 2)
      t.same(await b.statuses(3, { 'x-who': 'lee' }), [200, 200, 429])
    }
  }
)

t.test('a count can be looked at and set back, at every gateway', async (t) => {
  for (const store of await storeConfigs(t)) {
    const limit = { qps: 0.01, slack: 1, by: 'address' }
    const shared = store.driver === 'embedded' ? { ...store, path: `${t.testdir()}/store` } : store
    const [a, b] = [await limited(t, limit, { store: shared }), await limited(t, limit, { store: shared })]
    t.same(await a.statuses(3), [200, 200, 429])
    t.same(await b.statuses(1), [429])
    t.match((await b.admin('GET', '/route:a?key=ip:127.0.0.1')).body, {
      key: 'ip:127.0.0.1',
      standing: { allowed: false, remaining: 0 }
    })
    t.equal((await a.admin('DELETE', '/route:a/counts?key=ip:127.0.0.1')).status, 204)
    t.match((await a.admin('GET', '/route:a?key=ip:127.0.0.1')).body, {
      standing: { allowed: true, remaining: 2 }
    })
    await until(async () => (await b.get()).status === 200)
    t.pass()
  }
})

t.test('what makes no sense as a number is refused with a sentence', async (t) => {
  const { admin } = await limited(t, { qps: 5, by: 'route', cost: 3 })
  const cases: [unknown, RegExp][] = [
    [[], /JSON object/],
    [{ qps: 5, by: 'address' }, /"by" cannot be changed while running/],
    [{ quota: 5 }, /The limit is one of "qps", so its new numbers have to say it\./],
    [{ qps: -1 }, /^Qps: expected number to be greater or equal to 0.001/],
    [{ qps: 5, slack: 1 }, /A request costs 3 and no more than 2 are ever let through at once\./]
  ]
  for (const [body, sentence] of cases) {
    const answer = await admin('PUT', '/route:a', body)
    t.equal(answer.status, 400)
    t.match(answer.body.detail, sentence)
  }
  t.equal((await admin('PUT', '/route:b', { qps: 1 })).status, 404)
  t.equal((await admin('DELETE', '/route:a/counts')).status, 400)
})

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 250; attempt += 1) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('it did not come to that within 5 s')
}

/** Asks until a request is let in, which is when the service holds one more; its answer is still to come. */
async function getIn(
  get: () => Promise<Answer>,
  held: readonly unknown[]
): Promise<{ readonly answer: Promise<Answer> }> {
  const before = held.length
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const answer = get()
    let isAnswered = false
    answer.finally(() => {
      isAnswered = true
    })
    await until(async () => isAnswered || held.length > before)
    if (held.length > before) return { answer }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('nobody was let in')
}
