import t, { type Test } from 'tap'
import type { PoolRequest } from '../../services/upstream/pool.ts'
import { none } from '../../services/upstream/pool.ts'
import { startGateway } from '../support/gateway.ts'
import { ask, openPool } from '../support/pools.ts'
import { configFor, httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const at = (port: number, weight = 1) => ({ url: `http://127.0.0.1:${port}`, weight, id: `n${port}` })
const five = [1, 2, 3, 4, 5].map((port) => at(port))

/** Who a request with this key would go to, without sending it. */
const withKey = (key: string | undefined) => ({ balanceKey: () => key }) as unknown as PoolRequest

const keys = Array.from({ length: 5000 }, (_, index) => `key-${index}`)

function shares(t: Test, service: object, count: number): Record<string, number> {
  const { pool } = openPool(t, service)
  const seen: Record<string, number> = {}
  for (let index = 0; index < count; index += 1) {
    const { name } = pool.pick(withKey(`key-${index}`), none)!
    seen[name] = (seen[name] ?? 0) + 1
  }
  return seen
}

t.test('every strategy goes by weight, and gives nothing to a node of weight 0', async (t) => {
  const nodes = [at(1), at(2, 3), at(3, 0)]
  for (const balance of ['round-robin', 'least-connections', 'random', 'p2c', { by: 'header:x' }]) {
    const { n1 = 0, n2 = 0, n3 } = shares(t, { nodes, balance }, 4000)
    t.equal(n3, undefined)
    t.ok(n2 / n1 > 2.4 && n2 / n1 < 3.6, `${JSON.stringify(balance)}: ${n1} to ${n2}`)
  }
})

t.test('round-robin takes turns evenly, not in blocks', async (t) => {
  const { pool } = openPool(t, { nodes: [at(1), at(2, 2)] })
  const picked = Array.from({ length: 6 }, () => pool.pick(withKey(undefined), none)!.name)
  t.same(picked, ['n2', 'n1', 'n2', 'n2', 'n1', 'n2'])
})

t.test('weights that change hold at once, whatever was saved up under the old ones', async (t) => {
  const { pool, reload } = openPool(t, { nodes: [at(1, 1000), at(2)] })
  for (let count = 0; count < 500; count += 1) pool.pick(withKey(undefined), none)
  const next = await reload({ nodes: [at(1), at(2)] })
  const picked = Array.from({ length: 6 }, () => next.pick(withKey(undefined), none)!.name)
  t.same(picked, ['n1', 'n2', 'n1', 'n2', 'n1', 'n2'])
})

t.test('least-connections leaves a node that is busy alone', async (t) => {
  const waiting: (() => void)[] = []
  const slow = await httpUpstream(t, (_, response) => waiting.push(() => response.end('slow')))
  const fast = await httpUpstream(t, (_, response) => response.end('fast'))
  const { pool } = openPool(t, { nodes: [slow.url, fast.url], balance: 'least-connections' })
  const pending: Promise<unknown>[] = []
  while (slow.requests.length === 0) {
    const one = ask(pool)
    pending.push(one)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  for (let count = 0; count < 10; count += 1) t.equal((await ask(pool)).body, 'fast')
  for (const finish of waiting) finish()
  await Promise.all(pending)
})

t.test(
  'p2c gives a node that answers in 5 ms more than four fifths, beside one that needs 100 ms',
  async (t) => {
    const fast = await httpUpstream(t, (_, response) => setTimeout(() => response.end(), 5))
    const slow = await httpUpstream(t, (_, response) => setTimeout(() => response.end(), 100))
    const { pool } = openPool(t, { nodes: [slow.url, fast.url], balance: 'p2c' })
    for (let round = 0; round < 50; round += 1) {
      await Promise.all(Array.from({ length: 8 }, () => ask(pool)))
    }
    const share = fast.requests.length / (fast.requests.length + slow.requests.length)
    t.ok(share >= 0.8, `${share}`)
    t.ok(slow.requests.length > 0)
  }
)

t.test('a key always goes to the same node, in every pool, whatever the order of the list', async (t) => {
  const one = openPool(t, { nodes: five, balance: { by: 'header:x' } }).pool
  const other = openPool(t, { nodes: [...five].reverse(), balance: { by: 'header:x' } }).pool
  for (const key of keys.slice(0, 500)) {
    const { name } = one.pick(withKey(key), none)!
    t.equal(one.pick(withKey(key), none)!.name, name)
    t.equal(other.pick(withKey(key), none)!.name, name)
  }
})

t.test('a node that goes moves its own keys and no others', async (t) => {
  const { pool, reload } = openPool(t, { nodes: five, balance: { by: 'header:x' } })
  const before = keys.map((key) => pool.pick(withKey(key), none)!.name)
  const counts = five.map(({ id }) => before.filter((name) => name === id).length)
  for (const count of counts) t.ok(count > 800 && count < 1200, `${count} of 5000`)
  const next = await reload({ nodes: five.slice(0, 4), balance: { by: 'header:x' } })
  const moved = keys.filter((key, index) => next.pick(withKey(key), none)!.name !== before[index])
  t.ok(moved.length / keys.length <= 0.25)
  t.equal(moved.length, counts[4], 'only those of the node that is gone')
})

t.test('a key whose node was tried goes to its next one, always the same', async (t) => {
  const { pool } = openPool(t, { nodes: five, balance: { by: 'header:x' } })
  const first = pool.pick(withKey('k'), none)!
  const second = pool.pick(withKey('k'), [first])!
  t.not(second, first)
  t.equal(pool.pick(withKey('k'), [first]), second)
})

t.test('a bound on the load sends what is too much of one key to the next node', async (t) => {
  const { pool } = openPool(t, { nodes: five, balance: { by: 'header:x', maxLoad: 125 } })
  const seen = new Set<string>()
  for (let count = 0; count < 50; count += 1) {
    const node = pool.pick(withKey('one'), none)!
    node.inFlight += 1
    seen.add(node.name)
  }
  t.ok(seen.size >= 4)
  const loads = pool.nodes.map(({ inFlight }) => inFlight)
  t.ok(Math.max(...loads) <= 13, `${loads}`)
})

t.test('requests without the key are shared out otherwise', async (t) => {
  const { pool } = openPool(t, { nodes: [at(1), at(2)], balance: { by: 'header:x' } })
  const picked = Array.from({ length: 4 }, () => pool.pick(withKey(undefined), none)!.name)
  t.same(picked, ['n1', 'n2', 'n1', 'n2'])
})

t.test('the key is taken from the header, cookie, path or address of a request', async (t) => {
  const start = () => httpUpstream(t, (request, response) => response.end(`${request.socket.localPort}`))
  const nodes = [await start(), await start(), await start(), await start()].map(({ url }) => url)
  const { origin, reconfigure } = await startGateway(t, configFor(nodes))
  const nodesFor = async (request: (index: number) => [string, Record<string, string>]) => {
    const seen = new Set<string>()
    for (let index = 0; index < 24; index += 1) {
      const [path, headers] = request(index)
      seen.add(await (await fetch(origin + path, { headers })).text())
    }
    return seen.size
  }
  const by = (key: string) => reconfigure(configFor(nodes, { service: { balance: { by: key } } }))
  await by('header:X-Tenant')
  t.equal(await nodesFor((index) => [`/${index}`, { 'x-tenant': 'a', cookie: `c=${index}` }]), 1)
  t.equal(await nodesFor((index) => ['/', { 'x-tenant': `${index}` }]), 4)
  await by('cookie:c')
  t.equal(await nodesFor((index) => ['/', { cookie: `xc=${index}; c=1; d=${index}` }]), 1)
  t.equal(await nodesFor((index) => ['/', { cookie: `d=1;  c=${index}` }]), 4)
  await by('path')
  t.equal(await nodesFor((index) => [`/a?${index}`, {}]), 1)
  t.equal(await nodesFor((index) => [`/a/${index}`, {}]), 4)
  await by('address')
  t.equal(await nodesFor((index) => [`/${index}`, {}]), 1)
})

t.test(
  'whoever is signed in stays at one node, wherever they ask from; nobody in particular does not',
  async (t) => {
    const start = () => httpUpstream(t, (request, response) => response.end(`${request.socket.localPort}`))
    const nodes = [await start(), await start(), await start(), await start()].map(({ url }) => url)
    const config = {
      ...configFor(nodes, { route: { auth: 'optional' }, service: { balance: { by: 'subject' } } }),
      auth: { issuer: 'https://gw.example', audience: 'api', users: { driver: 'file', path: 'users.json' } }
    }
    const users = await usersFile({ ada: { password: 'lovelace' }, bob: { password: 'the builder' } })
    const { origin } = await startGateway(t, config, { files: { 'users.json': users } })
    for (const [username, password] of [
      ['ada', 'lovelace'],
      ['bob', 'the builder']
    ]) {
      const login = await fetch(`${origin}/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username, password })
      })
      const { access_token } = (await login.json()) as { access_token: string }
      const seen = new Set<string>()
      for (let count = 0; count < 8; count += 1) {
        const headers = { authorization: `Bearer ${access_token}` }
        seen.add(await (await fetch(`${origin}/${count}`, { headers })).text())
      }
      t.equal(seen.size, 1, username!)
    }
    const seen = new Set<string>()
    for (let count = 0; count < 8; count += 1) seen.add(await (await fetch(`${origin}/`)).text())
    t.equal(seen.size, 4)
  }
)
