import { METHODS } from 'node:http'
import t from 'tap'
import { signalNames } from '../../services/detect/signals.ts'
import { Metrics } from '../../services/telemetry/metrics.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { eventually } from '../support/own-process.ts'
import { configFor, exchange, httpUpstream } from '../support/upstream.ts'

/** Numbers that look random and are the same in each run. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  }
}
const next = numbers(20260101)
const word = (): string => `${next().toString(36)}${next().toString(36)}`

/** One request of each shape that a client can give it; the words in it are new each time. */
const shapes: readonly ((method: string) => string)[] = [
  (method) => head(method, `/${word()}`),
  (method) => head(method, `/api/${word()}/${word()}?${word()}=${word()}`),
  (method) => head(method, `/closed/${word()}`),
  (method) => head(method, `/closed/${word()}`, `Authorization: Bearer ${word()}.${word()}.${word()}\r\n`),
  (method) => head(method, `/.env/${word()}`),
  (method) => head(method, `/api/%2e%2e/${word()}`),
  (method) => head(method, `/api?q=${word()}%27%20or%201=1--`),
  (method) => head(method, `/auth/${word()}`),
  (method) => head(method, `http://${word()}/${word()}`),
  (method) => head(method, '*'),
  (method) => head(method, `/api/${word()}`, `${word()} : folded\r\n`),
  (method) => head(method, `/api/${word()}`, `Expect: ${word()}\r\n`),
  (method) => head(method, `/api/${word()}`, `Transfer-Encoding: ${word()}\r\n`),
  (method) => head(method, `/api/${word()}`, `Origin: http://${word()}.example\r\nCookie: ${word()}=1\r\n`)
]

function head(method: string, target: string, fields = ''): string {
  const agent = next() % 2 === 0 ? `sqlmap/${word()}` : `Mozilla/5.0 ${word()}`
  return (
    `${method} ${target} HTTP/1.1\r\nHost: ${word()}.example:${1 + (next() % 60_000)}\r\nUser-Agent: ${agent}\r\n` +
    `X-Request-Id: ${word()}\r\nConnection: close\r\n${fields}\r\n`
  )
}

/** Every series without its value; what Node.js holds open at the moment comes from a list of Node's own. */
async function seriesOf(admin: string): Promise<Set<string>> {
  const { text } = await ask('GET', `${admin}/metrics`)
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Set(
    lines.map((line) => line.slice(0, line.lastIndexOf(' '))).filter((name) => !/_nodejs_/.test(name))
  )
}

const methods = [...METHODS, 'BREW']

t.test('no path, method, host, user agent or header of a client adds a series to the metrics', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const config = configFor([up.url])
  const { origin, admin } = await startGateway(t, {
    ...config,
    routes: [
      { id: 'api', path: '/api/*', service: 'up', auth: 'none', limit: { qps: 1e6, by: 'address' } },
      { id: 'closed', path: '/closed/*', service: 'up' }
    ],
    auth: {},
    guard: { detect: {}, allow: ['127.0.0.0/8'] },
    // How busy this machine is has no part in it.
    pressure: { maxDelay: '0s', maxHeap: 100 }
  })
  const send = async (requests: readonly string[]): Promise<void> => {
    for (let at = 0; at < requests.length; at += 50) {
      // Some are answered by an end of the connection alone.
      await Promise.all(requests.slice(at, at + 50).map((bytes) => exchange(origin, bytes)))
    }
  }
  const oneOfEach = () => shapes.flatMap((shape) => methods.map((method) => shape(method)))
  await send(oneOfEach())
  await send(oneOfEach())
  const before = await seriesOf(admin)
  for (const seen of ['route="api",method="GET",status="200"', 'code="UNAUTHENTICATED"', 'method="PURGE"']) {
    t.ok(
      [...before].some((name) => name.includes(seen)),
      `the figures tell of ${seen}`
    )
  }

  const further = Array.from({ length: 2400 }, () => {
    const method = next() % 4 === 0 ? word().toUpperCase() : methods[next() % methods.length]!
    return shapes[next() % shapes.length]!(method)
  })
  await send(further)
  const after = await seriesOf(admin)
  t.same(
    [...after].filter((name) => !before.has(name)),
    [],
    'there is no series that was not there before'
  )
  t.ok(up.requests.length > 200, 'many of them reached the service')
  t.notMatch([...after].join('\n'), /example|sqlmap|Mozilla/)
})

t.test('what speaks against clients is counted by signal, from the first look on', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const config = { ...configFor([up.url]), guard: { detect: {}, allow: ['127.0.0.0/8'] } }
  const { origin, admin, reconfigure } = await startGateway(t, config)
  const figures = async () => {
    const { text } = await ask('GET', `${admin}/metrics`)
    return Object.fromEntries(
      [...text.matchAll(/^tollkeeper_guard_signals_total\{signal="(\w+)"\} (\d+)$/gm)].map(
        ([, signal, count]) => [signal, Number(count)]
      )
    )
  }
  t.same(await figures(), Object.fromEntries(signalNames.map((name) => [name, 0])))
  await ask('GET', `${origin}/a?q=%27%20union%20select%201`)
  await ask('GET', origin, { headers: { 'user-agent': 'sqlmap/1.8' } })
  await ask('GET', origin, { headers: { 'user-agent': 'sqlmap/1.8' } })
  t.match(await figures(), { tool: 2, attack: 1, probe: 0 })
  await reconfigure({ ...config, guard: {} })
  t.match(await figures(), { tool: 2, attack: 1 }, 'a reload forgets nothing')
})

t.test('routes, services and limits that no config has any more leave no series behind', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const config = (number: number) => ({
    store: { driver: 'embedded', path: 'store' },
    services: {
      up: { nodes: [up.url] },
      other: { nodes: [up.url] },
      [`up-${number}`]: { nodes: [up.url] },
      [`away-${number}`]: { nodes: ['http://127.0.0.1:1'], fallback: { service: 'other' } }
    },
    routes: [
      { id: 'stays', path: '/stays', service: 'up', auth: 'none', limit: { qps: 1000 } },
      { id: `route-${number}`, path: '/goes', service: `up-${number}`, auth: 'none', limit: { qps: 1000 } },
      { id: `away-${number}`, path: '/away', service: `away-${number}`, auth: 'none' },
      {
        id: `canary-${number}`,
        path: '/canary',
        service: 'up',
        auth: 'none',
        canary: { service: 'other', percent: 50 }
      }
    ]
  })
  const { origin, admin, reconfigure } = await startGateway(t, config(0))
  for (let number = 0; number < 4; number += 1) {
    if (number > 0) t.match(await reconfigure(config(number)), { outcome: 'applied' })
    for (const path of ['/stays', '/goes', '/away', '/canary'])
      t.equal((await ask('GET', origin + path)).status, 200, path)
  }
  const text = async () => (await ask('GET', `${admin}/metrics`)).text
  // The config before closes when its requests are over.
  await eventually('the others are gone', async () => !/-[012]"/.test(await text()))
  const left = await text()
  for (const kind of ['route="route', 'limit="route:route', 'service="up', 'route="canary', 'service="away'])
    t.match(left, `${kind}-3"`)
  t.match(left, 'tollkeeper_requests_total{route="stays",method="GET",status="200"} 4', 'what stays goes on')
  t.match(left, 'tollkeeper_limit_decisions_total{limit="route:stays",by="store",verdict="allowed"} 4')
})

t.test('a plugin that makes reasons up adds a thousand series and one', async (t) => {
  const metrics = new Metrics()
  t.teardown(() => metrics.close())
  for (let index = 0; index < 5000; index += 1) metrics.countRefusal('FORBIDDEN', `because of ${index}`)
  metrics.countRefusal('FORBIDDEN', 'because of 1')
  const text = await metrics.registry.metrics()
  t.equal(text.match(/^tollkeeper_refusals_total\{/gm)?.length, 1001)
  t.match(text, 'tollkeeper_refusals_total{code="other",reason="other"} 4000\n')
  t.match(text, 'tollkeeper_refusals_total{code="FORBIDDEN",reason="because of 1"} 2\n')
})
