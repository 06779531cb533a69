import { createServer } from 'node:http'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { routeTable } from '../../routes/table/check.ts'
import { compileTable } from '../../routes/table/compile.ts'
import type { RouteOptions } from '../../routes/table/slice.ts'
import { startGateway } from '../support/gateway.ts'
import { routed, routeOf } from '../support/table.ts'
import { listen } from '../support/upstream.ts'

const count = 10_000

/** The same numbers in every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

type Plain = Pick<RouteOptions, 'id' | 'path'> & { readonly hosts: string[]; readonly methods: string[] }

const words = ['a', 'b', 'c', 'd', 'orders', 'users', 'v1', 'v2', 'x', 'y']
const hosts = ['a.example.com', 'b.example.com', 'c.eu.example.com', '*.example.com', '*.eu.example.com']

/** Thousands with a path of their own, and as many that share their segments, hosts and methods in all ways. */
function manyRoutes(random: (below: number) => number): Plain[] {
  const routes: Plain[] = []
  const taken = new Set<string>()
  while (routes.length < count) {
    const index = routes.length
    const segments =
      index % 2 === 0
        ? [`service-${index}`, ...['', ':id', 'items'].slice(0, random(3)).filter(Boolean)]
        : Array.from({ length: 1 + random(5) }, (_, at) =>
            at > 0 && random(4) === 0 ? ':p' : words[random(words.length)]!
          )
    if (random(3) === 0) segments.push('*')
    const path = `/${segments.join('/')}`
    const host = random(2) === 0 ? [] : [hosts[random(hosts.length)]!]
    const methods = [[], ['GET'], ['POST']][random(3)]!
    const key = `${path.replaceAll(/:\w+/g, ':')} ${host} ${methods}`
    if (taken.has(key)) continue
    taken.add(key)
    routes.push({ id: `r${index}`, path, hosts: host, methods })
  }
  return routes
}

interface Asked {
  readonly method: string
  readonly host: string
  readonly path: string
}

/** Looks through all routes and keeps the one that is asked first: what the documentation says, and nothing clever. */
function lookThrough(routes: readonly Plain[], asked: Asked): string | undefined {
  let best: { readonly order: readonly number[]; readonly id: string } | undefined
  for (const [index, { id, path, hosts, methods }] of routes.entries()) {
    if (methods.length > 0 && !methods.includes(asked.method)) continue
    const host = hostOrder(hosts[0], asked.host)
    const segments = host === undefined ? undefined : pathOrder(path, asked.path)
    if (host === undefined || segments === undefined) continue
    const order = [host, ...segments, methods.length === 0 ? 1 : 0, index]
    if (best === undefined || isBefore(order, best.order)) best = { order, id }
  }
  return best?.id
}

/** Exact hosts first, then wildcards from the longest, then any. */
function hostOrder(pattern: string | undefined, host: string): number | undefined {
  if (pattern === undefined) return 1000
  if (!pattern.startsWith('*')) return pattern === host ? 0 : undefined
  return host.endsWith(pattern.slice(1)) ? 500 - pattern.length : undefined
}

/** For each segment 0 for a literal, 1 for a parameter, 2 for a wildcard; the end of a path comes before a wildcard. */
function pathOrder(pattern: string, path: string): number[] | undefined {
  const wanted = pattern.split('/').slice(1)
  const given = path.split('/').slice(1)
  const order: number[] = []
  for (const [index, segment] of wanted.entries()) {
    if (segment === '*') return [...order, 2]
    if (given[index] === undefined) return undefined
    if (segment.startsWith(':')) order.push(1)
    else if (segment === given[index]) order.push(0)
    else return undefined
  }
  return given.length === wanted.length ? [...order, -1] : undefined
}

function isBefore(one: readonly number[], other: readonly number[]): boolean {
  for (const [index, place] of one.entries()) if (place !== other[index]) return place < other[index]!
  return false
}

t.test('of ten thousand routes the same one takes a request as when all are looked through', async (t) => {
  const random = randomFrom(42)
  const routes = manyRoutes(random)
  const options = routes.map((route) => routeOf(route))
  const table = compileTable(options)
  const outcomes = { taken: 0, missed: 0, own: 0 }
  for (let round = 0; round < 1500; round += 1) {
    const near = routes[random(count)]!
    const path = near.path
      .replaceAll(/:\w+/g, () => words[random(words.length)]!)
      .replace('*', () => ['x', 'x/y', 'orders/7'][random(3)]!)
    const asked: Asked = {
      method: ['GET', 'POST', 'PUT'][random(3)]!,
      host: [...hosts.map((host) => host.replace('*', 'deep.er')), 'elsewhere.example', ''][random(7)]!,
      path: random(5) === 0 ? `${path}/more` : path
    }
    const expected = lookThrough(routes, asked)
    const found = routed(table, asked.path, { method: asked.method, host: asked.host })
    const id = typeof found === 'object' ? found.id : undefined
    if (id !== expected) t.equal(id, expected, JSON.stringify(asked))
    outcomes[id === undefined ? 'missed' : id === near.id ? 'own' : 'taken'] += 1
  }
  for (const [outcome, times] of Object.entries(outcomes)) t.ok(times > 100, `${times} requests: ${outcome}`)
})

t.test(
  'of thousands of routes at one path, each that gets nothing is told with the one that is before it',
  async (t) => {
    const found: string[] = []
    const report = {
      error: (pointer: string, sentence: string) =>
        found.push(`${pointer} ${sentence.replace(/, such as .*? and|, such as .*$/, '')}`),
      warning: () => {}
    }
    const routes = Array.from({ length: 3000 }, (_, index) =>
      routeOf({ id: `r${index}`, path: '/x', headers: { 'x-tenant': `${index}` } })
    )
    const more = [
      routeOf({ id: 'equal', path: '/x', headers: { 'X-Tenant': '7' } }),
      routeOf({ id: 'open', path: '/x' }),
      routeOf({ id: 'narrow', path: '/x', headers: { 'x-tenant': '8', 'x-beta': '*' } }),
      routeOf({ id: 'any', path: '/x', headers: { 'x-tenant': '*' } }),
      routeOf({ id: 'tied', path: '/x' })
    ]
    routeTable({ routes: [...routes, ...more] }, report)
    t.same(found, [
      '/routes/3000/path the routes "r7" and "equal" take the same requests neither is more exact',
      '/routes/3004/path the routes "open" and "tied" take the same requests neither is more exact'
    ])
  }
)

t.test('of thousands of regular expressions the first in their order takes a request', async (t) => {
  const random = randomFrom(11)
  const starts = ['^/a/', '^/b/', '^/a/?', '^/(?:a|b)/', '^/[ab]/', '^/d|^/c/', '^/', '^/a-b/']
  const paths = Array.from({ length: 2000 }, (_, index) => {
    const [start, digit] = [starts[random(starts.length)]!, random(10)]
    return `~${start}${['x', `[0-${digit}]`, 'x/y$', `z{1,${1 + (index % 7)}}`][random(4)]}${index}`
  })
  const routes = paths.map((path, index) => routeOf({ id: `r${index}`, path }))
  const table = compileTable(routes)
  const inOrder = routes
    .map(({ path, id }) => ({ id, source: path.slice(1) }))
    .sort((one, other) => other.source.length - one.source.length)
    .map(({ id, source }) => ({ id, regex: new RegExp(source) }))
  const outcomes = { taken: 0, missed: 0 }
  for (let round = 0; round < 2000; round += 1) {
    const first = ['a/', 'b/', 'a', 'c/', 'd', 'a-b/', ''][random(7)]!
    const path = `/${first}${['x', random(10), 'z', 'zz'][random(4)]}${random(2000)}`
    const expected = inOrder.find(({ regex }) => regex.test(path))?.id
    const found = routed(table, path)
    const id = typeof found === 'object' ? found.id : undefined
    if (id !== expected) t.equal(id, expected, path)
    outcomes[id === undefined ? 'missed' : 'taken'] += 1
  }
  for (const [outcome, times] of Object.entries(outcomes)) t.ok(times > 100, `${times} requests: ${outcome}`)
})

/** A service that says which path it was asked for. */
async function echo(t: Test): Promise<string> {
  const port = await listen(
    t,
    createServer((request, response) => response.end(`${request.url}`))
  )
  return `http://127.0.0.1:${port}`
}

t.test('a reload that changes one route of ten thousand fails no request', async (t) => {
  const node = await echo(t)
  const routes = Array.from({ length: count }, (_, index) => ({
    id: `route-${index}`,
    path: `/service-${index}/*`,
    service: `service-${index % 50}`,
    auth: index === count - 2 ? 'required' : 'none',
    ...(index % 10 === 3 && { hosts: ['*.example.com'] }),
    ...(index % 10 === 5 && { methods: ['GET'] })
  }))
  const services = Object.fromEntries(
    Array.from({ length: 50 }, (_, index) => [`service-${index}`, { nodes: [node] }])
  )
  const config = (own: readonly object[]) => ({ log: { access: false }, services, routes: own })
  const { origin, gateway, reconfigure, log } = await startGateway(t, config(routes))

  // 1. Four clients that never pause, each all over the table.
  const agent = new Agent({ connections: 4 })
  t.teardown(() => agent.close())
  const outcome = { good: 0, bad: 0 }
  let isOver = false
  const clients = Array.from({ length: 4 }, async (_, client) => {
    const random = randomFrom(client + 1)
    while (!isOver) {
      const index = 10 + random(count - 12)
      const headers = { host: 'any.example.com' }
      const answer = await request(`${origin}/service-${index}/x`, { dispatcher: agent, headers }).catch(
        () => undefined
      )
      const text = await answer?.body.text()
      outcome[answer?.statusCode === 200 && text === `/service-${index}/x` ? 'good' : 'bad'] += 1
    }
  })
  const seen = async (path: string) => (await request(`${origin}${path}`)).body.text()

  // 2. One route after the other changes, is taken out, is put in before all others.
  const changed = routes.with(7, { ...routes[7]!, rewrite: { stripPrefix: '/service-7' } } as never)
  t.equal((await reconfigure(config(changed))).outcome, 'applied')
  t.equal(await seen('/service-7/x'), '/x')
  t.equal((await reconfigure(config(changed.toSpliced(2, 1)))).outcome, 'applied')
  t.match(await seen('/service-2/x'), /ROUTE_NOT_FOUND/)
  t.match(await seen('/service-9998/x'), /UNAUTHENTICATED/, 'what a route asks of its callers moves with it')
  t.equal(await seen('/service-9997/x'), '/service-9997/x')
  const first = { id: 'first', path: '/first', service: 'service-1', auth: 'none' }
  t.equal((await reconfigure(config([first, ...routes]))).outcome, 'applied')
  t.equal(await seen('/first'), '/first')
  t.equal(await seen('/service-7/x'), '/service-7/x')
  const refused = await reconfigure(config(routes.with(9999, { ...routes[9999]!, service: 'none' })))
  t.equal(refused.outcome, 'refused')
  t.match(refused.mistakes, /routes|there is no service "none"/)
  t.equal((await reconfigure(config([first, ...routes]))).outcome, 'unchanged')
  t.equal((await reconfigure(config(routes))).outcome, 'applied')
  isOver = true
  await Promise.all(clients)

  // 3. Nobody noticed, and the log says what was changed and no more.
  t.equal(outcome.bad, 0)
  t.ok(outcome.good > 50, `${outcome.good} requests were answered meanwhile`)
  t.equal(gateway.config.value.routes.length, count)
  const changes = log().flatMap((line) => (line.msg === 'config reloaded' ? [line.changes] : []))
  t.same(changes, [
    ['route "route-7" changed'],
    ['route "route-2" removed'],
    ['route "first" added', 'route "route-2" added', 'route "route-7" changed'],
    ['route "first" removed']
  ])
})
