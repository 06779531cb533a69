import t from 'tap'
import { openRedis } from '../../services/store/redis.ts'
import { ask } from '../support/client.ts'
import { startRedis } from '../support/redis.ts'
import { type Built, corridor } from './corridor.ts'

const slow = { qps: 0.1, slack: 0, by: 'subject', mode: 'reject' }
const user = (subject: string, claims = {}) => ({
  'x-test-user': JSON.stringify({ subject, session: 's', scopes: [], claims })
})
const from = (client: string) => ({ 'x-test-client': client })

t.test('counts down on every answer, refuses with 429, and says when to come back', async (t) => {
  const { origin } = await corridor(t, {
    routes: [{ id: 'orders', path: '/orders/*', limit: { ...slow, qps: 100, slack: 2 } }]
  })
  const { origin: slower } = await corridor(t, {
    routes: [{ id: 'orders', path: '/orders/*', limit: { ...slow, qps: 0.5, slack: 2 } }]
  })
  const shown = await ask('GET', `${origin}/orders/1`)
  t.equal(shown.headers.get('ratelimit-policy'), '"orders";q=100;w=1')
  t.equal(shown.headers.get('ratelimit'), '"orders";r=2;t=1')

  const answers = []
  for (let index = 0; index < 4; index += 1) answers.push(await ask('GET', `${slower}/orders/${index}`))
  t.same(
    answers.map(({ status, headers }) => [status, headers.get('ratelimit')]),
    [
      [200, '"orders";r=2;t=2'],
      [200, '"orders";r=1;t=4'],
      [200, '"orders";r=0;t=6'],
      [429, '"orders";r=0;t=6']
    ]
  )
  const refused = answers[3]!
  t.equal(refused.headers.get('ratelimit-policy'), '"orders";q=1;w=2')
  t.equal(refused.headers.get('retry-after'), '2')
  t.equal(refused.headers.get('content-type'), 'application/problem+json')
  t.match(refused.body, {
    code: 'RATE_LIMITED',
    status: 429,
    detail: 'More than 0.5 requests a second for "orders"; ask again after 2 s.'
  })
})

t.test('a limit of scope "local" is counted by each process for itself, and outlives a reload', async (t) => {
  const routes = [{ id: 'a', path: '/a', limit: { ...slow, slack: 1, scope: 'local' } }]
  const first = await corridor(t, { routes })
  const statuses = async (origin: string) => {
    const answers = [await ask('GET', `${origin}/a`), await ask('GET', `${origin}/a`)]
    return answers.map(({ status }) => status)
  }
  t.same(await statuses(first.origin), [200, 200])
  t.equal((await ask('GET', `${first.origin}/a`)).status, 429)
  const reloaded = await corridor(t, { routes, services: first.services })
  t.same(await statuses(reloaded.origin), [429, 429])
  const other = await corridor(t, { routes, store: first.services.store })
  t.same(await statuses(other.origin), [200, 200], 'another process on the same store knows nothing of it')
})

t.test('what Retry-After says is true: after that time one request passes', async (t) => {
  const { origin } = await corridor(t, {
    routes: [{ id: 'a', path: '/a', limit: { ...slow, qps: 1 } }]
  })
  t.equal((await ask('GET', `${origin}/a`)).status, 200)
  const refused = await ask('GET', `${origin}/a`)
  t.equal(refused.status, 429)
  t.equal(refused.headers.get('retry-after'), '1')
  await new Promise((resolve) => setTimeout(resolve, 1000))
  t.equal((await ask('GET', `${origin}/a`)).status, 200)
})

t.test('by subject: each user has a limit of his own, whatever his address', async (t) => {
  const built = await corridor(t, { routes: [{ id: 'a', path: '/a', limit: slow }] })
  t.same(
    await statuses(built, user('kim'), { ...user('kim'), ...from('192.0.2.9') }, user('lee')),
    [200, 429, 200]
  )
})

t.test('by subject where nobody is signed in: by address, IPv6 by its /64', async (t) => {
  const built = await corridor(t, { routes: [{ id: 'a', path: '/a', limit: slow }] })
  t.same(await statuses(built, from('192.0.2.1'), from('192.0.2.1'), from('192.0.2.2')), [200, 429, 200])
  t.same(
    await statuses(built, from('2001:db8::1'), from('2001:db8::ffff:1'), from('2001:db8:0:1::1')),
    [200, 429, 200]
  )
})

t.test('by address: two users behind one address share its limit', async (t) => {
  const built = await corridor(t, { routes: [{ id: 'a', path: '/a', limit: { ...slow, by: 'address' } }] })
  t.same(await statuses(built, user('kim'), user('lee'), from('192.0.2.2')), [200, 429, 200])
})

t.test('by route: everybody shares one limit, and other routes have their own', async (t) => {
  const built = await corridor(t, {
    routes: [
      { id: 'a', path: '/a', limit: { ...slow, by: 'route' } },
      { id: 'b', path: '/b', limit: { ...slow, by: 'route' } }
    ]
  })
  t.same(await statuses(built, user('kim'), from('192.0.2.2')), [200, 429])
  t.equal((await ask('GET', `${built.origin}/b`)).status, 200)
})

t.test('by header: each value, however odd; leaving it out is no way around', async (t) => {
  const built = await corridor(t, {
    routes: [{ id: 'a', path: '/a', limit: { ...slow, by: 'header:X-Api-Key' } }]
  })
  const key = (value: string) => ({ 'x-api-key': value })
  const long = 'k'.repeat(2000)
  t.same(await statuses(built, key('one'), key('one'), key('two')), [200, 429, 200])
  t.same(await statuses(built, key(long), key(long), key(`${long}2`)), [200, 429, 200])
  t.same(await statuses(built, key('a:b'), key('a b'), key('{a}')), [200, 200, 200])
  t.same(await statuses(built, {}, {}), [200, 429], 'without it: the address')
})

t.test(
  'by claim: users with the same value share it; without the claim each counts for himself',
  async (t) => {
    const built = await corridor(t, {
      routes: [{ id: 'a', path: '/a', limit: { ...slow, by: 'claim:tenant' } }]
    })
    const tenant = (subject: string, tenant: unknown) => user(subject, { tenant })
    t.same(
      await statuses(built, tenant('kim', 'acme'), tenant('lee', 'acme'), tenant('lee', 7)),
      [200, 429, 200]
    )
    t.same(await statuses(built, user('kim'), user('kim'), user('lee')), [200, 429, 200])
  }
)

t.test('a user named like an address or another key has no part in that one', async (t) => {
  const built = await corridor(t, { routes: [{ id: 'a', path: '/a', limit: slow }] })
  t.same(await statuses(built, from('192.0.2.1'), user('ip:192.0.2.1'), user('192.0.2.1')), [200, 200, 200])
})

t.test("a service's limit holds over all its routes, and is told apart from the route's", async (t) => {
  const serviceLimit = { qps: 0.2, slack: 1, mode: 'reject' }
  const { origin } = await corridor(t, {
    routes: [
      {
        id: 'orders',
        path: '/orders',
        service: 'orders',
        limit: { ...slow, qps: 0.1, slack: 5 },
        serviceLimit
      },
      { id: 'more', path: '/more', service: 'orders', serviceLimit }
    ]
  })
  const first = await ask('GET', `${origin}/orders`)
  t.equal(first.headers.get('ratelimit-policy'), '"orders";q=1;w=10, "service:orders";q=1;w=5')
  t.equal(first.headers.get('ratelimit'), '"service:orders";r=1;t=5', 'the tighter of the two')
  const second = await ask('GET', `${origin}/more`)
  t.equal(second.headers.get('ratelimit-policy'), '"orders";q=1;w=5')
  t.equal(second.headers.get('ratelimit'), '"orders";r=0;t=10')
  const third = await ask('GET', `${origin}/orders`)
  t.equal(third.status, 429)
  t.equal(third.headers.get('ratelimit'), '"service:orders";r=0;t=10')
  t.match(third.body, { code: 'RATE_LIMITED', detail: /for "service:orders"/ })
})

t.test('a route without a limit says nothing of limits', async (t) => {
  const { origin } = await corridor(t, { routes: [{ id: 'a', path: '/a' }] })
  const { headers } = await ask('GET', `${origin}/a`)
  t.equal(headers.get('ratelimit'), null)
  t.equal(headers.get('ratelimit-policy'), null)
})

t.test('two gateways on one Redis share a limit under four times the load', async (t) => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const gateways = []
  for (let index = 0; index < 2; index += 1) {
    const store = await openRedis(server.url, 1000)
    t.teardown(() => store.close())
    gateways.push(
      await corridor(t, {
        store,
        routes: [{ id: 'a', path: '/a', limit: { ...slow, qps: 50, slack: 5, by: 'route' } }]
      })
    )
  }
  let allowed = 0
  const asked: Promise<void>[] = []
  const startedAt = performance.now()
  for (let index = 0; performance.now() - startedAt < 2000; index += 1) {
    const { origin } = gateways[index % 2]!
    asked.push(
      ask('GET', `${origin}/a`).then(({ status }) => {
        if (status === 200) allowed += 1
      })
    )
    await new Promise((resolve) => setTimeout(resolve, 4))
  }
  await Promise.all(asked)
  const seconds = (performance.now() - startedAt) / 1000
  t.ok(asked.length > seconds * 50 * 2, `${asked.length} requests were enough to tell`)
  t.ok(allowed <= Math.ceil(seconds * 50) + 6, `${allowed} in ${seconds} s`)
  // A pause of this busy process longer than the slack loses permissions, so from below it is only known not to be half.
  t.ok(allowed > seconds * 25, `${allowed} in ${seconds} s`)
})

t.test(
  'while the store is away the limit holds in this process, and nobody is refused because of it',
  async (t) => {
    const server = await startRedis()
    const store = await openRedis(server.url, 100)
    t.teardown(async () => {
      await store.close()
      await server.stop()
    })
    const built = await corridor(t, {
      store,
      routes: [{ id: 'a', path: '/a', limit: { ...slow, slack: 1 } }]
    })
    t.same(await statuses(built, user('kim'), user('kim'), user('kim')), [200, 200, 429])
    await server.kill()
    t.same(await statuses(built, user('kim'), user('lee'), user('lee'), user('lee')), [429, 200, 200, 429])
    const refused = await ask('GET', `${built.origin}/a`, { headers: user('lee') })
    t.equal(refused.body.code, 'RATE_LIMITED')
    t.equal(refused.headers.get('ratelimit')?.startsWith('"a";r=0;t='), true)
    t.equal(built.log().match(/the store does not answer/g)?.length, 1, 'said once')

    await server.restart()
    for (let attempt = 0; !built.log().includes('answers again'); attempt += 1) {
      if (attempt > 200) return t.fail('the store was not used again')
      await ask('GET', `${built.origin}/a`, { headers: user(`lee${attempt}`) })
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    t.same(
      await statuses(built, user('kim'), user('kim'), user('kim')),
      [200, 200, 429],
      'counted in the store again'
    )
    return undefined
  }
)

async function statuses({ origin }: Built, ...requests: Record<string, string>[]): Promise<number[]> {
  const seen: number[] = []
  for (const headers of requests) seen.push((await ask('GET', `${origin}/a`, { headers })).status)
  return seen
}

t.test(
  'a tier named by a claim has numbers of its own, and who is of no known tier has those of the limit',
  async (t) => {
    const limit = {
      qps: 0.01,
      slack: 0,
      by: 'subject',
      tiers: { claim: 'plan', of: { gold: { qps: 0.01, slack: 2 }, free: { qps: 0.02, slack: 1 } } }
    }
    const built = await corridor(t, { routes: [{ id: 'a', path: '/a', limit }] })
    const many = (subject: string, claims: object) => Array(4).fill(user(subject, claims))
    t.same(await statuses(built, ...many('ann', { plan: 'gold' })), [200, 200, 200, 429])
    t.same(await statuses(built, ...many('bob', { plan: 'free' })), [200, 200, 429, 429])
    t.same(await statuses(built, ...many('cid', { plan: 'silver' })), [200, 429, 429, 429])
    t.same(await statuses(built, ...many('dan', { plan: ['gold'] })), [200, 429, 429, 429])
    t.same(await statuses(built, ...many('eve', {})), [200, 429, 429, 429])
    const shown = await ask('GET', `${built.origin}/a`, { headers: user('fay', { plan: 'free' }) })
    t.equal(shown.headers.get('ratelimit-policy'), '"a";q=1;w=50')
  }
)
