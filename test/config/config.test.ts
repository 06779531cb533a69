import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { schemaOf } from '../../config/compose.ts'
import { type Extension, loadConfig } from '../../config/config.ts'
import { renderMistake } from '../../config/frame.ts'
import type { Check } from '../../config/mistake.ts'
import { load, placeOf, refusal, refusalOf } from '../support/config.ts'
import { slices } from '../support/slices.ts'

const orders = '"services": { "orders": { "nodes": ["http://127.0.0.1:4001"] } }'
const route = (keys: string): string =>
  `{ ${orders}, "routes": [{ "id": "a", "path": "/a", "service": "orders", ${keys} }] }`

t.test('reads JSON with comments and trailing commas, and fills in every default', async (t) => {
  const { value } = await load(`// a gateway
{
  /* where it runs */
  ${orders},
  "routes": [{ "id": "a", "path": "/a", "service": "orders", "limit": { "qps": 5, }, },],
}`)
  t.same(value, {
    listen: { public: '0.0.0.0:8080', admin: '127.0.0.1:8082' },
    store: { driver: 'embedded', path: '.toll/store' },
    services: {
      orders: {
        nodes: ['http://127.0.0.1:4001'],
        balance: 'round-robin',
        timeouts: { connect: '2s', response: '15s' }
      }
    },
    routes: [
      {
        id: 'a',
        path: '/a',
        methods: [],
        service: 'orders',
        auth: 'none',
        limit: { qps: 5, slack: 10, by: 'address' }
      }
    ],
    plugins: []
  })
})

t.test('fills in the defaults of the branch of a union that fits', async (t) => {
  const { value } = await load(route('"auth": { "session": "strict" }'))
  t.same((value.routes[0] as { auth?: unknown }).auth, { session: 'strict', mode: 'required' })
  const { value: redis } = await load('{ "store": { "driver": "redis", "url": "redis://localhost" } }')
  t.same(redis.store, { driver: 'redis', url: 'redis://localhost' })
})

t.test('reads YAML with anchors and merges as it reads JSON', async (t) => {
  const yaml = `
services:
  orders: &upstream
    nodes: [http://127.0.0.1:4001]
    timeouts: &slow { response: 60s }
  carts:
    <<: *upstream
    timeouts: { <<: [{ connect: 5s }, *slow] }
routes:
  - { id: a, path: /a, service: orders }
  - { id: b, path: /b, service: carts, limit: { qps: 5 } }
`
  const { value } = await load(yaml, { path: 'gateway.config.yaml' })
  t.same(value.services.carts, {
    nodes: ['http://127.0.0.1:4001'],
    balance: 'round-robin',
    timeouts: { connect: '5s', response: '60s' }
  })
  const json = JSON.stringify({
    routes: value.routes.map((one) => ({ ...one })),
    services: value.services
  })
  t.equal((await load(json)).revision, (await load(yaml, { path: 'x.yml' })).revision)
})

t.test('refuses YAML whose aliases expand without end', async (t) => {
  const rows = Array.from({ length: 9 }, (_, level) => {
    const below =
      level === 0
        ? '"x"'
        : Array(9)
            .fill(`*l${level - 1}`)
            .join(', ')
    return `l${level}: &l${level} [${below}]`
  })
  const { mistakes } = await refusal(rows.join('\n'), { path: 'gateway.config.yaml' })
  t.ok(mistakes.some(({ sentence }) => sentence === 'aliases make the config too large'))
  const loop = await refusal('listen: &a\n  public: *a\n', { path: 'gateway.config.yaml' })
  t.match(loop.mistakes[0]?.sentence, /nested too deeply|too large|no anchor/)
})

t.test('refuses ten thousand brackets instead of failing on them', async (t) => {
  const { mistakes } = await refusal('['.repeat(100_000))
  t.match(mistakes[0]?.sentence, /nested too deeply|missing/)
})

t.test('is frozen all the way down', async (t) => {
  const { value } = await load(route('"limit": { "qps": 5 }'))
  t.throws(() => {
    Object.assign(value.services.orders!.timeouts, { connect: '1s' })
  }, TypeError)
  t.throws(() => (value.routes as unknown[]).push({}), TypeError)
})

t.test('puts in variables, defaults and files, and leaves an escaped one alone', async (t) => {
  const folder = t.testdir({ secrets: { issuer: 'https://gw.example\n' } })
  const path = join(folder, 'gateway.config.json')
  writeFileSync(
    path,
    `{
  "listen": { "public": "\${HOST}:\${PORT:-8080}", "admin": "\${EMPTY:-127.0.0.1}:$\${PORT}" },
  "auth": { "issuer": "\${file:secrets/issuer}" }
}`
  )
  const env = { HOST: '0.0.0.0', EMPTY: '' }
  const { value, files, directory } = await loadConfig({ path, slices, env })
  t.same(value.listen, { public: '0.0.0.0:8080', admin: '127.0.0.1:${PORT}' })
  t.equal(value.auth?.issuer, 'https://gw.example')
  t.same(files, [join(folder, 'secrets', 'issuer')])
  t.equal(directory, folder)
})

t.test('does not read references in what a reference stands for', async (t) => {
  const { value } = await load('{ "auth": { "issuer": "${A}" } }', { env: { A: '${B}', B: 'no' } })
  t.equal(value.auth?.issuer, '${B}')
})

t.test('turns a reference into a number or a boolean only where one is wanted', async (t) => {
  const text = `{ ${orders}, "routes": [{ "id": "\${ID}", "path": "/a", "service": "orders", "limit": { "qps": "\${QPS}", "slack": "\${N:-3}" } }],
    "auth": { "issuer": "\${ID}", "cookie": "\${COOKIE}" } }`
  const { value } = await load(text, { env: { ID: '42', QPS: '2.5', COOKIE: 'true' } })
  t.match(value.routes[0], { id: '42', limit: { qps: 2.5, slack: 3 } })
  t.match(value.auth, { issuer: '42', cookie: true })
  for (const [name, env] of Object.entries({
    word: { ID: 'a', QPS: 'many', COOKIE: 'true' },
    empty: { ID: 'a', QPS: '', COOKIE: 'true' },
    hex: { ID: 'a', QPS: '0x10', COOKIE: 'true' },
    space: { ID: 'a', QPS: ' 5', COOKIE: 'true' },
    'yes for true': { ID: 'a', QPS: '5', COOKIE: 'yes' }
  })) {
    const { mistakes } = await refusal(text, { env })
    t.match(
      mistakes[0]?.sentence,
      /must be (a number|true or false); it holds what \$\{\w+\} stands for$/,
      name
    )
  }
  const { mistakes } = await refusal(route('"limit": { "qps": "1${QPS}" }'), { env: { QPS: '0' } })
  t.match(mistakes[0]?.sentence, /must be a number/, 'a part of a value is text')
})

t.test('never says what a reference stands for, nor what a secret field holds', async (t) => {
  const secret = 'hunter2-hunter2'
  const env = { SECRET: secret, SHORT: 'pw', URL: `redis://:${secret}@cache:6379` }
  const texts = [
    // 1. In each place a mistake can be made with it.
    route('"limit": { "qps": "${SECRET}" }'),
    route('"auth": "${SECRET}"'),
    route('"methods": ["${SECRET}"]'),
    `{ "store": { "driver": "\${SECRET}" } }`,
    `{ "store": { "driver": "redis", "url": 5, "ulr": "\${URL}" } }`,
    `{ "auth": { "issuer": "x", "access": "\${SECRET}" } }`,
    `{ "auth": { "issuer": "x", "access": "a\${SECRET}" } }`,
    `{ ${orders}, "routes": [{ "id": "\${SECRET}", "path": "/a", "service": "\${SECRET}" }, { "id": "\${SECRET}", "path": "/", "service": "orders" }] }`,
    `{ "services": { "a": { "nodes": ["\${SECRET}"] } } }`,
    // 2. Written literally: in a secret field, in a URL, under a telling name, in a file that cannot be read.
    `{ "auth": { "issuer": "x", "clientSecret": ["${secret}"] }, "lisen": 1 }`,
    `{ "auth": { "clientSecret": "${secret}" } }`,
    `{ "store": { "driver": "embedded", "path": 1, "url": "redis://:${secret}@cache" } }`,
    `{ "services": { "a": { "nodes": ["redis://user:${secret}@cache/${'x'.repeat(80)}"] } } }`,
    `{ "auth": { "issuer": "x", "client_secret": "${secret}" } }`,
    `{ "auth": { "issuer": "x", "clientSecret": "${secret}" "cookie": false, } ]`,
    `{ "auth": { "issuer": "x", "clientSecret": "${secret}`
  ]
  for (const text of texts) {
    const refused = await refusal(text, { env })
    const rendered = refused.mistakes
      .map((mistake) => renderMistake(mistake, { text: refused.text ?? '' }))
      .join('\n')
    const literally = text.includes(secret)
    t.notOk(rendered.includes(secret), rendered)
    t.notOk(refused.message.includes(secret), refused.message)
    if (literally) t.match(rendered, /\*{5}|\d \|/)
  }
  const yaml = await refusal(`auth:\n  issuer: x\n  clientSecret: ${secret}\n  clientSecret: ${secret}\n`, {
    path: 'a.yaml'
  })
  t.notOk(JSON.stringify(yaml.mistakes).includes(secret))
  t.notOk(yaml.text?.includes(secret))
})

t.test('shows a config with its references and without its secrets', async (t) => {
  const { redacted } = await load(
    `{
  "store": { "driver": "redis", "url": "redis://:p/w@cache:6379,redis://me:other@cache2" },
  "auth": { "issuer": "\${ISSUER:-me}", "clientSecret": "a literal secret", "cookie": true },
  "plugins": [
    { "use": "./x.js", "options": { "apiKey": "k-1", "password": "\${PW}", "deep": { "refreshToken": "t", "depth": 3 } } }
  ]
}`,
    { env: { PW: 'from outside' } }
  )
  t.same(redacted, {
    store: { driver: 'redis', url: 'redis://:[secret]@cache:6379,redis://me:[secret]@cache2' },
    auth: { issuer: '${ISSUER:-me}', clientSecret: '[secret]', cookie: true },
    plugins: [
      {
        use: './x.js',
        options: { apiKey: '[secret]', password: '${PW}', deep: { refreshToken: '[secret]', depth: 3 } }
      }
    ]
  })
})

t.test('takes a key that the author chose at its word', async (t) => {
  const env = { key: 'env', slice: Type.Record(Type.String(), Type.String()) }
  const text = '{ "env": { "DB_PASSWORD": "literal", "x-api-key": "k", "HOST": "db", "TOKEN": "${T}" } }'
  const { redacted } = await loadConfig({ path: 'x.json', text, slices: [env], env: { T: 't' } })
  t.same(redacted, { env: { DB_PASSWORD: '[secret]', 'x-api-key': '[secret]', HOST: 'db', TOKEN: '${T}' } })
})

t.test('has one revision for one content', async (t) => {
  const { revision } = await load('{ "listen": { "public": ":1", "admin": ":2" } }')
  t.match(revision, /^[0-9a-f]{12}$/)
  const same = await load('{ // the same\n "listen": { "admin": "${A}", "public": ":1" } }', {
    env: { A: ':2' }
  })
  t.equal(same.revision, revision)
  const other = await load('{ "listen": { "public": ":1", "admin": "${A}" } }', { env: { A: ':3' } })
  t.not(other.revision, revision)
})

t.test('warns of a service that no route uses', async (t) => {
  const { warnings, text } = await load(`{\n  ${orders}\n}`)
  t.same(warnings.map(placeOf), ['2:17'])
  t.match(
    renderMistake(warnings[0]!, { text }),
    /^gateway.config.json:2:17 {2}warning no route uses the service "orders"\n/
  )
})

t.test('runs checks on what is sound, and finds their places in the whole', async (t) => {
  const seen: string[] = []
  const check: Check = ({ routes }: { routes: readonly { id: string; path: string }[] }, report) => {
    for (const [index, { id, path }] of routes.entries()) {
      seen.push(id)
      if (path.length > 5) report.error(`/routes/${index}/path`, `"${path}" is too long`, path.slice(0, 5))
    }
  }
  const { mistakes } = await refusal(
    `{ ${orders}, "routes": [
  { "id": "a", "path": "/a", "service": "orders", "auht": 1 },
  { "id": "b", "path": "/b", "service": "orders" },
  { "id": "c", "path": "/c-long", "service": "orders" }
] }`,
    { checks: [check] }
  )
  t.same(seen, ['b', 'c'])
  t.same(mistakes.map(placeOf), ['2:51', '4:24'])
  t.equal(mistakes[1]?.suggestion, '/c-lo')
  // A check that falls over what a schema refused is not the user's business; one that falls over a sound config is a bug.
  const falls: Check = () => {
    throw new Error('a bug')
  }
  t.equal((await refusal('{ "lisen": 1 }', { checks: [falls] })).mistakes.length, 1)
  await t.rejects(load('{}', { checks: [falls] }), { message: 'a bug' })
})

t.test('lets a config extend itself, with options that have a schema of their own', async (t) => {
  const text = (options: string): string =>
    `{ "plugins": [{ "use": "./shout.js", "options": ${options} }], ${orders}, "routes": [{ "id": "a", "path": "/a", "service": "orders", "shout": true }] }`
  const extension: Extension = {
    key: './shout.js',
    at: '/plugins/0/options',
    slice: Type.Object({
      volume: Type.Integer({ description: 'How loud.', minimum: 1, default: 3 }),
      key: Type.Optional(Type.String({ description: 'Secret.', secret: true, minLength: 5 }))
    }),
    route: Type.Object({ shout: Type.Boolean({ description: 'Whether.', default: false }) })
  }
  const given = (options: string) => ({
    path: 'gateway.config.json',
    text: text(options),
    slices,
    env: { V: '7' },
    extend: async () => [extension]
  })
  const { value, redacted } = await loadConfig(given('{ "volume": "${V}", "key": "12345" }'))
  t.same(value.plugins[0]?.options, { volume: 7, key: '12345' })
  t.match(redacted, { plugins: [{ options: { volume: '${V}', key: '[secret]' } }] })
  t.same((await loadConfig(given('{}'))).value.plugins[0]?.options, { volume: 3 })
  t.match(await refusalOf(loadConfig(given('{ "volumes": 1, "key": "1234" }'))), {
    mistakes: [
      {
        pointer: '/plugins/0/options/volumes',
        sentence: 'unknown key "volumes" in plugins[0].options',
        suggestion: 'volume'
      },
      { pointer: '/plugins/0/options/key', sentence: /at least 5 characters; it holds a secret$/ }
    ]
  })
  t.match(
    await refusalOf(
      loadConfig({
        ...given('{}'),
        extend: async (_config, report) => {
          report.error('/plugins/0/use', 'there is no file ./shout.js')
          return []
        }
      })
    ),
    {
      mistakes: [{ column: 24, sentence: 'there is no file ./shout.js' }, { sentence: /unknown key "shout"/ }]
    }
  )
})

t.test('says in one sentence that a file cannot be read', async (t) => {
  const folder = t.testdir({ folder: {} })
  for (const [name, sentence] of [
    ['none.json', 'there is no such file'],
    ['folder', 'this is not a file']
  ] as const) {
    t.match(await refusalOf(loadConfig({ path: join(folder, name), slices })), {
      mistakes: [{ line: 1, column: 1, sentence }]
    })
  }
})

t.test('bounds the files that are put in', async (t) => {
  const folder = t.testdir({
    large: 'x'.repeat(70_000),
    'gateway.config.json': '{ "auth": { "issuer": "${file:large}" } }'
  })
  t.match(await refusalOf(loadConfig({ path: join(folder, 'gateway.config.json'), slices })), {
    mistakes: [{ sentence: 'the file large is larger than 64 KiB' }]
  })
})

t.test('takes no two slices for one key, nor two fragments for one field of a route', (t) => {
  t.throws(
    () => schemaOf([...slices, { key: 'store', slice: Type.Object({}) }]),
    /two slices have the key "store"/
  )
  const route = Type.Object({ limit: Type.Boolean() })
  t.throws(() => schemaOf([...slices, { key: 'other', route }]), /"other" adds "limit" to a route/)
  t.end()
})

t.test('closes what a slice forgot to close', async (t) => {
  const open = { key: 'open', slice: Type.Object({ inner: Type.Array(Type.Object({ a: Type.Boolean() })) }) }
  t.match(
    await refusalOf(
      loadConfig({ path: 'x.json', text: '{ "open": { "inner": [{ "a": true, "b": 1 }] } }', slices: [open] })
    ),
    { mistakes: [{ pointer: '/open/inner/0/b' }] }
  )
})
