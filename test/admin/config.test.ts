import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

const token = 'operate-operate-operate-operate'
const secret = 'a-secret-that-nobody-may-ever-see'

async function start(
  t: Test,
  more: Record<string, unknown> = {},
  place: Parameters<typeof startGateway>[2] = {}
) {
  const config = {
    admin: { token, readToken: secret },
    services: { hello: { nodes: ['http://127.0.0.1:9'] } },
    routes: [{ id: 'open', path: '/open/*', service: 'hello', auth: 'none', limit: { qps: 100 } }],
    ...more
  }
  const started = await startGateway(t, config, place)
  const url = `${started.admin}/admin/config`
  const get = async () => {
    const { headers, body } = await ask('GET', url, { token })
    return { etag: headers.get('etag')!, config: body as Config }
  }
  const put = (body: string | object, match?: string, type = 'application/json') =>
    ask('PUT', url, {
      token,
      text: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { ...(match !== undefined && { 'if-match': match }), 'content-type': type }
    })
  const text = () => readFileSync(started.path, 'utf8')
  return { ...started, url, get, put, text }
}

interface Config extends Record<string, unknown> {
  readonly admin: Record<string, unknown>
  readonly routes: readonly { readonly id: string; readonly limit: { readonly qps: number } }[]
}

const limited = (config: Config, qps: number) => ({
  ...config,
  routes: [{ ...config.routes[0], limit: { qps } }]
})

t.test(
  'another config is written whole, serves at once, and keeps the secrets that were shown masked',
  async (t) => {
    const { get, put, text, path, directory } = await start(t)
    chmodSync(path, 0o640)
    const { etag, config } = await get()
    t.match(config.admin, { token: '[secret]', readToken: '[secret]' })
    const answer = await put(limited(config, 200), etag)
    t.equal(answer.status, 200)
    t.match(answer.body, { outcome: 'applied', changes: ['route open: limit.qps 100 -> 200'] })
    const now = await get()
    t.equal(answer.headers.get('etag'), now.etag)
    t.not(now.etag, etag)
    t.equal(now.config.routes[0]!.limit.qps, 200)
    t.match(JSON.parse(text()), { admin: { token, readToken: secret }, routes: [{ limit: { qps: 200 } }] })
    t.notMatch(text(), '[secret]')
    t.equal(statSync(path).mode & 0o777, 0o640, 'the mode is kept')
    t.same(
      readdirSync(directory).filter((name) => name.startsWith('.gateway')),
      [],
      'nothing is left beside it'
    )
    t.notMatch(answer.text, secret)
  }
)

t.test('nothing goes without If-Match, nor with one that is stale', async (t) => {
  const { get, put, text } = await start(t)
  const before = text()
  const { etag, config } = await get()
  const without = await put(limited(config, 200))
  t.equal(without.status, 428)
  t.match(without.body, { code: 'PRECONDITION_REQUIRED', detail: /If-Match/ })
  t.equal((await put(limited(config, 200), '"stale"')).status, 412)
  t.equal((await put(limited(config, 200), `W/${etag}`)).status, 412, 'a weak tag names nothing')
  t.equal((await put(limited(config, 200), 'no-quotes')).status, 400)
  t.equal(text(), before)
  t.equal((await put(limited(config, 200), `"other", ${etag}`)).status, 200)
  const stale = await put(limited(config, 300), etag)
  t.equal(stale.status, 412)
  t.match(stale.body, { code: 'PRECONDITION_FAILED' })
  t.equal((await get()).config.routes[0]!.limit.qps, 200)
})

t.test(
  'of changes sent at once with one ETag exactly one wins, also where only a comment differs',
  async (t) => {
    const { get, put, text } = await start(t)
    for (const write of [
      (config: Config, index: number) => limited(config, 200 + index),
      (config: Config, index: number) => `// ${index}\n${JSON.stringify(config)}`
    ]) {
      const { etag, config } = await get()
      const answers = await Promise.all([0, 1, 2, 3, 4].map((index) => put(write(config, index), etag)))
      t.same(answers.map(({ status }) => status).sort(), [200, 412, 412, 412, 412])
      const winner = answers.findIndex(({ status }) => status === 200)
      t.match(text(), winner === -1 ? /never/ : new RegExp(`20${winner}|// ${winner}\n`))
    }
  }
)

t.test('a config with mistakes changes nothing, and each mistake has its place', async (t) => {
  const { get, put, text, gateway } = await start(t)
  const before = text()
  const { etag } = await get()
  const answer = await put('{\n  "rotes": [],\n  "admin": { "maxBody": 7 }\n}', etag)
  t.equal(answer.status, 400)
  t.match(answer.body, { code: 'BAD_REQUEST', detail: /gateway\.config\.json:2:3 {2}error.*rotes/ })
  t.match(answer.body.detail, /gateway\.config\.json:3:\d+ {2}error/)
  t.equal((await put('{ "routes": [', etag)).status, 400)
  t.equal((await put('', etag)).status, 400)
  const moved = await put({ listen: { public: '127.0.0.1:1', admin: '127.0.0.1:2' } }, etag)
  t.match(moved, { status: 400, body: { detail: /listen\.public cannot change/ } })
  t.equal(text(), before)
  t.equal((await get()).etag, etag)
  t.not(gateway.record.last.outcome, 'refused', 'the file is as good as before')
})

t.test('comments and references are kept as they are sent', async (t) => {
  process.env.TOLL_TEST_QPS = '70'
  t.teardown(() => {
    delete process.env.TOLL_TEST_QPS
  })
  const { get, put, text } = await start(t)
  const { etag } = await get()
  const sent = text().replace('100', '"${TOLL_TEST_QPS}"').replace('{', '{\n  // as we like it')
  const answer = await put(sent, etag, 'text/plain')
  t.equal(answer.status, 200, answer.text)
  t.equal(text(), sent)
  t.match((await get()).config.routes, [{ limit: { qps: '${TOLL_TEST_QPS}' } }])
  t.equal((await put('a: 1', (await get()).etag, 'application/yaml')).status, 415, 'the file is JSON')
})

t.test('a YAML file takes YAML, and stays as its owner writes it', async (t) => {
  const yaml = (qps: number, shown = secret) => `# the gateway of the shop
listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' }
admin:
  token: ${token} # for operators
  readToken: "${shown}"
services:
  hello: &hello
    nodes: [http://127.0.0.1:9]
routes:
  - id: open
    path: /open/*
    service: hello
    auth: none
    limit:
      qps: ${qps}
`
  const name = 'gateway.config.yaml'
  const { get, put, text } = await start(t, {}, { name, files: { [name]: yaml(100) } })
  const first = await get()
  t.match(first.config, {
    admin: { token: '[secret]', readToken: '[secret]' },
    routes: [{ limit: { qps: 100 } }]
  })

  // 1. Each of its media types; the mask is the present secret, comments and anchors are kept.
  const types = ['application/yaml', 'application/x-yaml; charset=utf-8', 'text/yaml', 'text/plain']
  for (const [index, type] of types.entries()) {
    const qps = 200 + index
    const answer = await put(yaml(qps, '[secret]'), (await get()).etag, type)
    t.match(answer, { status: 200, body: { outcome: 'applied' } }, `${type}: ${answer.text}`)
    t.match(answer.body.changes, [`route open: limit.qps ${index === 0 ? 100 : qps - 1} -> ${qps}`])
    t.equal(text(), yaml(qps))
    t.equal((await get()).config.routes[0]!.limit.qps, qps)
  }

  // 2. What GET shows may come back as it is: JSON is YAML.
  const { etag, config } = await get()
  t.equal((await put(limited(config, 300), etag)).status, 200)
  t.match(JSON.parse(text()), { admin: { token, readToken: secret }, routes: [{ limit: { qps: 300 } }] })

  // 3. Mistakes have their places in it, and change nothing.
  const before = text()
  const now = (await get()).etag
  const wrong = await put(yaml(7).replace('routes:', 'rotes:'), now, 'application/yaml')
  t.match(wrong, { status: 400, body: { detail: /gateway\.config\.yaml:9:1 {2}error.*rotes/ } })
  t.equal((await put('routes: [', now, 'application/yaml')).status, 400)
  t.equal((await put(yaml(8), first.etag, 'application/yaml')).status, 412)
  t.equal((await put(yaml(8), undefined, 'application/yaml')).status, 428)
  t.equal(text(), before)
  t.equal((await get()).etag, now)
})

t.test('a mask that stands for nothing here is refused with its place, never written', async (t) => {
  const { get, put, text } = await start(t, {
    services: { hello: { nodes: ['http://127.0.0.1:9'] }, other: { nodes: ['http://127.0.0.1:8'] } }
  })
  const before = text()
  const { etag, config } = await get()
  for (const [pointer, wrong] of [
    ['a value that is no secret', { ...config, routes: [{ ...config.routes[0], id: '[secret]' }] }],
    ['a part of one', { ...config, admin: { token: 'x[secret]'.padEnd(40, 'x') } }],
    ['another place', { ...config, admin: { ...config.admin, tokenPath: '[secret]' } }]
  ] as const) {
    const answer = await put(wrong, etag)
    t.equal(answer.status, 400, pointer)
    t.match(answer.body.detail, /:1:\d+ {2}error "\[secret\]" stands for a secret that is not here/)
  }
  t.equal((await put(JSON.stringify(config).replace('"[secret]"', '"\\u005bsecret]"'), etag)).status, 200)
  t.match(JSON.parse(text()), JSON.parse(before), 'an escaped mask is one as well')
})

t.test('a file that somebody edited meanwhile is not written over, unless that is meant', async (t) => {
  const { get, put, text, path } = await start(t)
  const { etag, config } = await get()
  const edited = `// by hand\n${text()}`
  writeFileSync(path, edited)
  const answer = await put(limited(config, 200), etag)
  t.equal(answer.status, 409)
  t.match(answer.body, { code: 'CONFLICT', detail: /If-Match: \*/ })
  t.equal(text(), edited)
  t.equal((await put(limited(config, 200), '*')).status, 200)
  t.equal((await get()).config.routes[0]!.limit.qps, 200)
})

t.test('a config that is a link is not replaced by a file', async (t) => {
  const { get, put, text, path } = await start(t)
  renameSync(path, `${path}.real`)
  symlinkSync(`${path}.real`, path)
  const before = text()
  const { etag, config } = await get()
  const answer = await put(limited(config, 200), etag)
  t.match(answer, { status: 409, body: { code: 'CONFLICT', detail: /is a link/ } })
  t.equal(text(), before)
  t.equal((await get()).etag, etag, 'and does not serve')
})

t.test('a file that is gone is not made anew, and a refusal to write leaves what serves', async (t) => {
  const { get, put, path } = await start(t)
  const { etag, config } = await get()
  rmSync(path)
  const answer = await put(limited(config, 200), etag)
  t.match(answer, { status: 503, body: { code: 'CONFIG_UNWRITABLE', detail: /it is gone/ } })
  t.equal(existsSync(path), false)
  t.equal((await get()).etag, etag)
})

t.test('a reload may be meant for one config, too', async (t) => {
  const { get, admin } = await start(t)
  const reload = (match: string) =>
    ask('POST', `${admin}/admin/config/reload`, { token, headers: { 'if-match': match } })
  t.equal((await reload('"other"')).status, 412)
  t.equal((await reload((await get()).etag)).status, 200)
})

t.test('a config may be larger than other bodies, and not larger than admin.maxConfig', async (t) => {
  const { get, put } = await start(t, { admin: { token, maxConfig: '100KiB' } })
  const { etag, config } = await get()
  const padded = (size: number) => `${JSON.stringify(config)}\n// ${'x'.repeat(size)}`
  t.equal((await put(padded(80_000), etag)).status, 200)
  t.equal((await put(padded(120_000), (await get()).etag)).status, 413)
})

t.test('what served before is listed with its changes, and serves again', async (t) => {
  const { get, put, text, admin, directory } = await start(t)
  const first = text()
  const { config, etag } = await get()
  await put(limited(config, 200), etag)
  await put({ ...limited(config, 200), admin: { token, readToken: `${secret}-new` } }, (await get()).etag)
  const list = async () => {
    const { body, text } = await ask('GET', `${admin}/admin/config/history`, { token })
    t.notMatch(text, secret)
    return body as { serving: string; revisions: { revision: string; by: string; changes: string[] }[] }
  }
  const { serving, revisions } = await list()
  t.match(revisions, [
    { revision: serving, by: 'admin-token', changes: ['admin.readToken changed (secret)'] },
    { by: 'admin-token', changes: ['route open: limit.qps 100 -> 200'] },
    { by: 'file', changes: [] }
  ])
  const back = (json: unknown, match?: string) =>
    ask('POST', `${admin}/admin/config/rollback`, {
      token,
      json,
      headers: match === undefined ? {} : { 'if-match': match }
    })
  const oldest = revisions[2]!.revision
  t.equal((await back({ revision: oldest })).status, 428)
  t.equal((await back({ revision: oldest }, etag)).status, 412)
  const now = (await get()).etag
  t.equal((await back({ revision: 'ffffffffffff' }, now)).status, 404)
  t.equal((await back({ revision: '../../etc/passwd' }, now)).status, 400)
  const done = await back({ revision: oldest }, now)
  t.match(done, { status: 200, body: { outcome: 'applied', revision: oldest } })
  t.equal(text(), first, 'to the letter')
  t.equal((await get()).etag, etag)
  t.match((await list()).revisions[0], { revision: oldest, by: 'admin-token', reason: /rolled back to/ })
  const folder = join(directory, '.toll/history')
  t.equal(statSync(folder).mode & 0o777, 0o700)
  for (const name of readdirSync(folder)) t.equal(statSync(join(folder, name)).mode & 0o777, 0o600)
})

t.test('a kept config that is not good any more is refused like any other', async (t) => {
  const { get, put, admin, path, text } = await start(t, { routes: [], services: {} })
  process.env.TOLL_TEST_GONE = '7'
  const { etag, config } = await get()
  await put({ ...config, shutdown: { delay: '${TOLL_TEST_GONE}s' } }, etag)
  const revision = (await get()).etag.slice(1, 13)
  await put(config, (await get()).etag)
  delete process.env.TOLL_TEST_GONE
  const before = text()
  const answer = await ask('POST', `${admin}/admin/config/rollback`, {
    token,
    json: { revision },
    headers: { 'if-match': (await get()).etag }
  })
  t.match(answer, { status: 400, body: { detail: /TOLL_TEST_GONE is not set/ } })
  t.equal(readFileSync(path, 'utf8'), before)
})

t.test('as many configs are kept as the config says', async (t) => {
  const { get, put, directory, gateway, admin } = await start(t, {
    admin: { token, history: { keep: 3 } }
  })
  for (let qps = 1; qps < 7; qps += 1) {
    const { etag, config } = await get()
    t.equal((await put(limited(config, qps), etag)).status, 200)
  }
  await gateway.record.history.settled()
  t.equal(readdirSync(join(directory, '.toll/history')).length, 3)
  const { body } = await ask('GET', `${admin}/admin/config/history`, { token })
  const { revisions } = body as { revisions: { changes: string[] }[] }
  t.match(revisions[0], { changes: ['route open: limit.qps 5 -> 6'] })
})

t.test('no secret is in any answer, note or line about a change of it', async (t) => {
  const { get, put, admin, log } = await start(t)
  const { etag, config } = await get()
  const other = 'another-secret-that-nobody-may-see'
  const answers = [
    await put({ ...config, admin: { ...config.admin, readToken: other } }, etag),
    await put({ ...config, admin: { ...config.admin, readToken: other, maxBody: 7 } }, (await get()).etag),
    await put(`{ "admin": { "readToken": "${other}`, (await get()).etag)
  ]
  t.same(
    answers.map(({ status }) => status),
    [200, 400, 400]
  )
  const paths = ['', '/history', '/../audit', '/../openapi.json', '/../routes']
  for (const path of paths) {
    answers.push(await ask('GET', new URL(`${admin}/admin/config${path}`).href, { token }))
  }
  for (const { text } of answers) for (const one of [secret, other, token]) t.notMatch(text, one)
  const written = JSON.stringify(log())
  for (const one of [secret, other, token]) t.notMatch(written, one)
  t.match(written, 'config.replace')
})
