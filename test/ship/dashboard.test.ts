import t from 'tap'
import { ask } from '../support/client.ts'
import { readDocument } from '../support/console.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { closedPort, httpUpstream, RawClient } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

/** What of the dashboard the tests look at. */
interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const dashboard = JSON.parse(readDocument('deploy/grafana/tollkeeper.json')) as {
  readonly schemaVersion: number
  readonly panels: readonly Panel[]
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[]
  }
}
const { panels, templating } = dashboard
const targets = panels.flatMap(({ targets = [] }) => targets)

/** Metrics and the labels that are asked of each: those selected by, and those summed by. */
function asked(expression: string): { metric: string; labels: string[] }[] {
  const grouped = [...expression.matchAll(/ by \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(', '))
  return [...expression.matchAll(/(tollkeeper_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, metric = '', chosen = '']) => ({
      metric,
      labels: [...grouped, ...[...chosen.matchAll(/(\w+)=~?"/g)].map(([, name = '']) => name)]
    })
  )
}

/** Labels that Prometheus adds, not the gateway. */
const scraped = ['job', 'instance']

/** A gateway that something of every kind has happened to; its metrics, as labels by name. */
async function measure(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const waiting: (() => void)[] = []
  const slow = await httpUpstream(t, (_, response) => waiting.push(() => response.end('ok')))
  const limit = { qps: 1, slack: 0, by: 'address' }
  const { origin, admin } = await startGateway(
    t,
    {
      store: { driver: 'redis', url: redis.url },
      listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0', connectionsPerAddress: 8 },
      services: {
        up: { nodes: [up.url] },
        slow: { nodes: [slow.url] },
        away: {
          nodes: [`http://127.0.0.1:${await closedPort()}`],
          fallback: { status: 503, body: 'away' }
        }
      },
      routes: [
        { id: 'open', path: '/open', service: 'up', auth: 'none', limit },
        { id: 'shadow', path: '/shadow', service: 'up', auth: 'none', limit: { ...limit, shadow: true } },
        {
          id: 'slow',
          path: '/slow',
          service: 'slow',
          auth: 'none',
          limit: { qps: 1, slack: 0, by: 'route', mode: 'wait', maxWait: '30s' }
        },
        { id: 'away', path: '/away', service: 'away', auth: 'none' },
        { id: 'closed', path: '/closed', service: 'up' }
      ],
      auth: { users: { path: 'users.json' } },
      guard: { detect: {}, ban: { dryRun: true } },
      log: { sinks: [{ name: 'file', kind: 'file', path: 'access.log' }] }
    },
    { files: { 'users.json': await usersFile({ ada: { password: 'a good password' } }) } }
  )
  for (const path of ['open', 'open', 'shadow', 'shadow', 'away', 'closed', '.env']) {
    await ask('GET', `${origin}/${path}`)
  }
  const login = await ask('POST', `${origin}/auth/login`, {
    json: { username: 'ada', password: 'a good password' }
  })
  t.equal(login.status, 200)
  const clients = Array.from({ length: 12 }, () => new RawClient(origin))
  for (const client of clients) client.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
  // The gateway looks at its connections once a second.
  await new Promise((resolve) => setTimeout(resolve, 1200))
  const { text } = await ask('GET', `${admin}/metrics`)
  t.match(text, /^tollkeeper_config_last_reload_successful 1$/m)
  for (const answer of waiting) answer()
  for (const client of clients) client.close()
  const found = new Map<string, Set<string>>()
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const known = found.get(name) ?? new Set(scraped)
    found.set(name, known)
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label)
  }
  return found
}

let measured: ReturnType<typeof measure> | undefined
const figures = () => {
  measured ??= measure()
  return measured
}

t.test('every metric and label that the dashboard asks for is one that a gateway has', async (t) => {
  const found = await figures()
  const expressions = [
    ...targets.map(({ expr }) => expr),
    ...templating.list.flatMap(({ definition }) => definition ?? [])
  ]
  const questions = expressions.flatMap(asked)
  t.ok(questions.length > 50)
  // Nothing happens here to a client that takes nothing for a minute.
  const rare = new Set(['tollkeeper_slow_readers_cut_total'])
  for (const { metric, labels } of questions) {
    if (rare.has(metric)) continue
    const known = found.get(metric)
    t.ok(known, `${metric} has a value`)
    for (const label of labels) t.ok(known?.has(label), `${metric} has the label ${label}`)
  }
  for (const { expr, legendFormat } of targets) {
    for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
      const isThere = / by \(/.test(expr)
        ? asked(expr).some(({ labels }) => labels.includes(label))
        : scraped.includes(label)
      t.ok(isThere, `the legend ${legendFormat} can be filled by ${expr}`)
    }
  }
})

t.test('every metric of the gateway itself is on the dashboard, but those told', async (t) => {
  const own = new Set([...(await figures()).keys()].filter((name) => !/_(?:nodejs|process)_/.test(name)))
  const shown = new Set(targets.flatMap(({ expr }) => asked(expr)).map(({ metric }) => metric))
  const left = [...own].filter((name) => !shown.has(name) && !/_(?:sum|count)$/.test(name))
  t.same(left, [], 'releases (canary, mirror) have no series here')
})

t.test('no two panels have one id or overlap, and none is off the grid', async (t) => {
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const taken = new Map<string, string>()
  for (const { title, gridPos } of panels) {
    const { x, y, w, h } = gridPos
    t.ok(x >= 0 && x + w <= 24 && w > 0 && h > 0, title)
    for (let column = x; column < x + w; column += 1) {
      for (let line = y; line < y + h; line += 1) {
        const cell = `${column}/${line}`
        t.notOk(taken.has(cell), `${title} stands on ${taken.get(cell)}`)
        taken.set(cell, title)
      }
    }
  }
  t.same(
    panels.filter(({ type }) => type === 'row').map(({ title }) => title),
    ['Traffic', 'Refusals', 'Upstream', 'Sessions and revocations', 'Limits and bans', 'Process']
  )
})

t.test(
  'it takes its data source from a variable, and names no other variable that there is not',
  async (t) => {
    t.ok(dashboard.schemaVersion >= 39)
    t.match(templating.list[0], { name: 'datasource', type: 'datasource' })
    const text = readDocument('deploy/grafana/tollkeeper.json')
    for (const [, uid] of text.matchAll(/"uid": "([^"]+)"/g))
      t.match(uid, /^(?:\$\{datasource\}|tollkeeper)$/)
    const names = new Set(templating.list.map(({ name }) => name))
    for (const { expr } of targets) {
      for (const [, name = ''] of expr.matchAll(/\$(\w+)/g)) {
        t.ok(name === '__rate_interval' || names.has(name), `${name} in ${expr}`)
      }
    }
  }
)
