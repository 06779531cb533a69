import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { shareOf } from '../../services/release/share.ts'
import { ask } from '../support/client.ts'
import { refusalOf } from '../support/config.ts'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'
import { websocketAnswer } from './websocket-answer.ts'

/** A route with a canary; each side says its name. */
async function start(
  t: Test,
  canary: object,
  { route = {}, service = {}, next = {}, ...config } = {} as Parts
) {
  const stable = await httpUpstream(t, (_request, response) => response.end('stable'))
  const canaryUp = await httpUpstream(t, (_request, response) => response.end('canary'))
  const whole = (percent: object) => ({
    services: {
      orders: { nodes: [stable.url], ...service },
      'orders-next': { nodes: [canaryUp.url], ...next }
    },
    routes: [
      {
        id: 'orders',
        path: '/*',
        service: 'orders',
        auth: 'none',
        canary: { service: 'orders-next', ...canary, ...percent },
        ...route
      }
    ],
    ...config
  })
  const started = await startGateway(t, whole({}))
  const token = readFileSync(join(started.directory, '.toll/admin-token'), 'utf8').trim()
  const side = async (headers: Record<string, string> = {}) =>
    (await ask('GET', `${started.origin}/`, { headers })).text
  const withPercent = async (percent: number) => {
    t.equal((await started.reconfigure(whole({ percent }))).outcome, 'applied')
  }
  return { ...started, token, side, withPercent, stable, canaryUp, whole }
}

interface Parts {
  readonly route?: object
  readonly service?: object
  readonly next?: object
  readonly [key: string]: unknown
}

t.test('a place depends on both texts alone, and keys spread evenly over the places', async (t) => {
  t.equal(shareOf('orders-next', 'sub=ada'), shareOf('orders-next', 'sub=ada'))
  t.not(shareOf('orders-next', 'sub=ada'), shareOf('stock-next', 'sub=ada'))
  t.not(shareOf('ab', 'c'), shareOf('a', 'bc'))
  // It must never change: everybody would change sides with the next version.
  t.equal(shareOf('orders-next', 'sub=ada').toFixed(6), '89.903141')
  for (const keyOf of [(n: number) => `sub=user-${n}`, (n: number) => `ip:10.0.${n >> 8}.${n & 255}`]) {
    const counts = new Array<number>(20).fill(0)
    for (let n = 0; n < 20_000; n += 1) counts[Math.floor(shareOf('orders-next', keyOf(n)) / 5)]! += 1
    for (const count of counts) t.ok(count > 850 && count < 1150, `${count} of 1000 expected`)
  }
})

t.test('a key stays on its side, and more percent move keys to the canary only', async (t) => {
  const { side, withPercent } = await start(t, { percent: 1, by: 'header:x-tenant' })
  const tenants = Array.from({ length: 100 }, (_, n) => `tenant-${n}`)
  let before = new Set<string>()
  for (const percent of [10, 30, 60, 100]) {
    await withPercent(percent)
    const sides = await Promise.all(tenants.map((tenant) => side({ 'x-tenant': tenant })))
    const again = await Promise.all(tenants.map((tenant) => side({ 'x-tenant': tenant })))
    t.same(again, sides, 'the same key has the same side')
    const now = new Set(tenants.filter((_, index) => sides[index] === 'canary'))
    for (const tenant of before) t.ok(now.has(tenant), `${tenant} stays with the canary at ${percent} %`)
    t.ok(Math.abs(now.size - percent) < 15, `${now.size} of 100 at ${percent} %`)
    before = now
  }
  t.equal(before.size, 100)
  await withPercent(0)
  t.equal(await side({ 'x-tenant': 'tenant-1' }), 'stable')
})

t.test('a cookie may be the key, and without it the address is', async (t) => {
  const { side } = await start(t, { percent: 50, by: 'cookie:device' })
  const sides = await Promise.all(Array.from({ length: 40 }, (_, n) => side({ cookie: `a=1; device=d${n}` })))
  t.ok(sides.includes('stable') && sides.includes('canary'))
  const without = await Promise.all(Array.from({ length: 10 }, () => side()))
  t.equal(new Set(without).size, 1)
})

t.test('a client chooses by header only where the config names one', async (t) => {
  const chosen = await start(t, { percent: 0, by: 'address', header: 'X-Canary' })
  t.equal(await chosen.side(), 'stable')
  t.equal(await chosen.side({ 'x-canary': 'always' }), 'canary')
  t.equal(await chosen.side({ 'x-canary': 'perhaps' }), 'stable')
  await chosen.withPercent(100)
  t.equal(await chosen.side(), 'canary')
  t.equal(await chosen.side({ 'x-canary': 'never' }), 'stable')
  const fixed = await start(t, { percent: 0, by: 'address' })
  t.equal(await fixed.side({ 'x-canary': 'always' }), 'stable')
})

t.test('log and metrics tell the service that answered, and the side', async (t) => {
  const { side, log, admin } = await start(t, { percent: 0, by: 'address', header: 'x-canary' })
  await side()
  await side({ 'x-canary': 'always' })
  const lines = log().filter(({ msg }) => msg === 'request')
  t.match(lines, [
    { service: 'orders', side: 'stable', node: /^orders-[0-9a-f]{8}$/ },
    { service: 'orders-next', side: 'canary', node: /^orders-next-[0-9a-f]{8}$/ }
  ])
  const { text } = await ask('GET', `${admin}/metrics`)
  t.match(text, /tollkeeper_canary_requests_total\{route="orders",side="stable",status="200"\} 1/)
  t.match(text, /tollkeeper_canary_requests_total\{route="orders",side="canary",status="200"\} 1/)
  t.match(text, /tollkeeper_upstream_duration_seconds_count\{service="orders-next"\} 1/)
})

t.test('each side counts against the limit of its own service', async (t) => {
  const limits = { service: { limit: { qps: 0.01, slack: 0 } }, next: { limit: { qps: 0.01, slack: 1 } } }
  const { origin } = await start(t, { percent: 0, by: 'address', header: 'x-canary' }, limits)
  const statuses = async (headers: Record<string, string>, count: number) => {
    const found: number[] = []
    for (let n = 0; n < count; n += 1) found.push((await ask('GET', `${origin}/`, { headers })).status)
    return found
  }
  t.same(await statuses({}, 2), [200, 429])
  t.same(await statuses({ 'x-canary': 'always' }, 3), [200, 200, 429])
})

t.test('explain says which side would be taken, and why', async (t) => {
  const { admin, token } = await start(t, { percent: 100, by: 'address', header: 'x-canary' })
  const explain = async (headers: Record<string, string>) =>
    (await ask('POST', `${admin}/admin/explain`, { token, json: { method: 'GET', url: '/x', headers } })).body
  t.match(await explain({}), {
    allowed: true,
    steps: [
      { step: 'guard' },
      { step: 'canary', facts: { side: 'canary', service: 'orders-next', by: 'address', percent: 100 } }
    ],
    upstream: { service: 'orders-next' }
  })
  t.match(await explain({ 'x-canary': 'never' }), {
    steps: [{}, { facts: { side: 'stable', because: 'the header "x-canary" says so' } }],
    upstream: { service: 'orders' }
  })
})

t.test('a WebSocket goes to its side as well', async (t) => {
  const { origin, canaryUp } = await start(t, { percent: 0, by: 'address', header: 'x-canary' })
  canaryUp.server.on('upgrade', (request, socket) => {
    canaryUp.requests.push(request)
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
  })
  t.match(await websocketAnswer(origin, 'X-Canary: always\r\n'), /^HTTP\/1\.1 403 /)
  t.equal(canaryUp.requests.length, 1)
})

t.test('wrong names, the service itself and impossible shares are mistakes with a place', async (t) => {
  const refused = async (canary: object) => {
    const directory = t.testdir({
      'gateway.config.json': JSON.stringify({
        services: { orders: {}, 'orders-next': {} },
        routes: [
          { id: 'a', path: '/*', service: 'orders', canary },
          { id: 'b', path: '/b', service: 'orders-next' }
        ]
      })
    })
    const { mistakes } = await refusalOf(loadGatewayConfig(join(directory, 'gateway.config.json')))
    return mistakes.map(({ pointer, sentence, suggestion }) => ({ pointer, sentence, suggestion }))
  }
  const at = (key: string) => `/routes/0/canary/${key}`
  t.match(await refused({ service: 'order-next', percent: 5 }), [
    { pointer: at('service'), sentence: /there is no service "order-next"/, suggestion: 'orders-next' }
  ])
  t.match(await refused({ service: 'orders', percent: 5 }), [
    { pointer: at('service'), sentence: /the canary of "orders" is the service itself/ }
  ])
  for (const percent of [-1, 101, '5']) {
    t.match(await refused({ service: 'orders-next', percent }), [{ pointer: at('percent') }])
  }
  t.match(await refused({ service: 'orders-next', percent: 5, by: 'weather' }), [{ pointer: at('by') }])
})
