import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { examineNode } from '../../bin/doctor/examine.ts'
import { examineClock } from '../../bin/doctor/store.ts'
import { root } from '../support/console.ts'
import { freePorts } from '../support/ports.ts'
import { startRedis } from '../support/redis.ts'
import { runToll } from '../support/running.ts'

const config = `{
  "listen": { "public": "127.0.0.1:0", "admin": "127.0.0.1:0" },
  "services": { "orders": { "nodes": ["http://127.0.0.1:4001"] } },
  "routes": [
    { "id": "rest", "path": "/*", "service": "orders" },
    { "id": "one", "path": "/orders/:id", "methods": ["GET"], "service": "orders", "auth": "none" },
    { "id": "report", "path": "/orders/report", "methods": ["GET"], "service": "orders", "limit": { "qps": 5 } },
    { "id": "other", "path": "/*", "hosts": ["other.example"], "service": "orders" }
  ]
}`

/** What a command wrote and how it ended. */
async function toll(t: Test, args: readonly string[], files: Record<string, string> = {}, env = {}) {
  const running = runToll(t, args, files, env)
  const code = await running.ended
  return { code, ...running.output, directory: running.directory }
}

t.test('toll check says that a good config is good', async (t) => {
  const { code, out, err } = await toll(t, ['check'], { 'gateway.config.json': config })
  t.equal(out, 'gateway.config.json is good: 4 routes, 1 service.\n')
  t.equal(err, '')
  t.equal(code, 0)
  const json = await toll(t, ['check', '--json'], { 'gateway.config.json': config })
  t.match(JSON.parse(json.out), { ok: true, routes: 4, services: 1, warnings: [] })
})

t.test('toll check tells every mistake with its frame, and exits with 2', async (t) => {
  const broken = config.replace('"auth": "none"', '"auht": "none"').replace('"qps": 5', '"qps": "5"')
  const { code, out, err } = await toll(t, ['check'], { 'gateway.config.json': broken })
  t.equal(code, 2)
  t.equal(out, '')
  t.match(err, /^gateway\.config\.json:6:84 {2}error unknown key "auht" in routes\[1\]\n/)
  t.match(err, /\n {4}\| +\^{6}\n {2}did you mean "auth"\?\n/)
  t.match(
    err,
    /gateway\.config\.json:7:\d+ {2}error routes\[2\]\.limit\.qps must be a number, not the string "5"/
  )
  const json = await toll(t, ['check', '--json'], { 'gateway.config.json': broken })
  t.equal(json.code, 2)
  t.match(JSON.parse(json.out), {
    ok: false,
    mistakes: [{ line: 6, column: 84, suggestion: 'auth' }, { line: 7 }]
  })
})

t.test('toll check shows warnings and finds a YAML config', async (t) => {
  const { code, out, err } = await toll(t, ['check'], {
    'gateway.config.yaml': 'services:\n  orders:\n    nodes: [http://127.0.0.1:4001]\n'
  })
  t.equal(code, 0)
  t.equal(out, 'gateway.config.yaml is good: 0 routes, 1 service.\n')
  t.match(err, /^gateway\.config\.yaml:2:3 {2}warning no route uses the service "orders"\n/)
})

t.test('toll routes lists them in the order in which requests try them', async (t) => {
  const { out, code } = await toll(t, ['routes'], { 'gateway.config.json': config })
  t.equal(code, 0)
  const rows = out
    .trim()
    .split('\n')
    .map((row) => row.split(/ {2,}/))
  t.same(rows, [
    ['ROUTE', 'METHODS', 'HOSTS', 'PATH', 'SERVICE', 'AUTH', 'LIMIT'],
    ['other', 'any', 'other.example', '/*', 'orders', 'required', '-'],
    ['report', 'GET', 'any', '/orders/report', 'orders', 'required', '5/s'],
    ['one', 'GET', 'any', '/orders/:id', 'orders', 'none', '-'],
    ['rest', 'any', 'any', '/*', 'orders', 'required', '-']
  ])
  const json = await toll(t, ['routes', '--json'], { 'gateway.config.json': config })
  t.match(JSON.parse(json.out), {
    routes: [{ id: 'other' }, { id: 'report', limits: ['5/s'] }, { id: 'one' }, { id: 'rest' }]
  })
})

t.test('toll docs writes what toll docs --check compares, and names what is stale', async (t) => {
  const cwd = { 'package.json': '{}' }
  const written = await toll(t, ['docs', '--json'], cwd)
  const { stale } = JSON.parse(written.out) as { stale: string[] }
  t.ok(
    stale.includes('gateway.schema.json') &&
      stale.includes('docs/errors.md') &&
      stale.includes('docs/plugins/auth.md')
  )
  const fresh = await toll(t, ['docs', '--check'], cwd)
  t.equal(fresh.code, 1)
  t.match(fresh.out, /^Stale, run "npm run docs":\n {2}gateway\.schema\.json\n/)
  // The schema on disk is the one that is printed.
  const { out } = await toll(t, ['schema'])
  t.equal(readFileSync(join(written.directory, 'gateway.schema.json'), 'utf8'), out)
})

t.test('the generated documents of this repository are up to date', async (t) => {
  const { documents } = await import('../../bin/documents.ts')
  for (const [path, text] of documents(root)) {
    const there = (() => {
      try {
        return readFileSync(join(root, path), 'utf8')
      } catch {
        return undefined
      }
    })()
    t.ok(there === text, `${path} is what "npm run docs" writes`)
  }
})

t.test('toll doctor finds nothing wrong where nothing is', async (t) => {
  const { code, out } = await toll(t, ['doctor'], { 'gateway.config.json': config })
  t.equal(code, 0)
  t.match(out, /^ok {4}node: Node\.js /)
  t.match(out, /\nok {4}config: gateway\.config\.json is good: 4 routes\.\n/)
  t.match(
    out,
    /\nwarn {2}services\.orders: 127\.0\.0\.1:4001 takes no connections\.\n {6}Start it, or mend its address\.\n/
  )
})

t.test('toll doctor names a refused config, and the way out', async (t) => {
  const { code, out } = await toll(t, ['doctor', '--json'], { 'gateway.config.json': '{ "lisen": {} }' })
  t.equal(code, 1)
  t.match(JSON.parse(out), {
    ok: false,
    findings: [
      { name: 'node', status: 'ok' },
      {
        name: 'config',
        status: 'fail',
        sentence: 'gateway.config.json is refused, with 1 mistake.',
        remedy: 'See "toll check".'
      }
    ]
  })
})

t.test('toll doctor sees a taken port, an open key file and a Redis that does not answer', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const [nobody] = await freePorts(1)
  const folder = t.testdir({})
  mkdirSync(join(folder, '.toll'))
  writeFileSync(join(folder, '.toll', 'keys.json'), '{}')
  chmodSync(join(folder, '.toll', 'keys.json'), 0o644)
  const path = join(folder, 'gateway.config.json')
  writeFileSync(
    path,
    JSON.stringify({
      listen: { public: `127.0.0.1:${port}`, admin: '127.0.0.1:0' },
      store: { driver: 'redis', url: `redis://:pass-word@127.0.0.1:${nobody}` },
      auth: {}
    })
  )
  const { code, out } = await toll(t, ['doctor', '--config', path])
  t.equal(code, 1)
  t.match(
    out,
    `fail  listen.public: 127.0.0.1:${port} is taken by another process.\n      Stop it, or change "listen.public".`
  )
  t.match(
    out,
    /fail {2}keys: .*keys\.json, with the signing keys, is open to others \(mode 644\)\.\n {6}Run: chmod 600 /
  )
  t.match(out, /fail {2}store: .*\n {6}Start Redis, or mend "store\.url"\./)
  t.notMatch(out, /pass-word/)
})

t.test('toll doctor asks a Redis that does answer for its time', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const text = JSON.stringify({
    listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' },
    store: { driver: 'redis', url: redis.url }
  })
  const { out } = await toll(t, ['doctor'], { 'gateway.config.json': text })
  t.match(
    out,
    /ok {4}store: The redis store answers in \d+ ms\.\nok {4}clock: This clock and the store's agree\.\n/
  )
})

t.test('the doctor knows an old Node.js and a clock that is off', async (t) => {
  t.match(examineNode('20.19.9'), { status: 'fail', sentence: 'Node.js 20.19.9 is too old.' })
  t.match(examineNode('18.20.0'), { status: 'fail' })
  for (const version of ['20.20.0', '21.0.0', '24.1.0']) t.match(examineNode(version), { status: 'ok' })
  t.match(examineClock(1000, 900, 1100), { status: 'ok' })
  t.match(examineClock(6000, 900, 1100), { status: 'warn', sentence: /4\.9 s off/ })
  t.match(examineClock(0, 40_000, 40_001), { status: 'fail' })
})
