import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { type SessionPolicy, type SessionProvider, sessionProviderChecks } from '../../index.ts'
import { openOwnProvider } from '../../services/identity/sessions/own-provider.ts'
import { indexKey, sessionKey } from '../../services/identity/sessions/records.ts'
import { newSessionId, userHashOf } from '../../services/identity/sessions/refresh-token.ts'
import { Sessions } from '../../services/identity/sessions/sessions.ts'
import { openStore } from '../../services/store/open.ts'
import { type Ask, ask } from '../support/client.ts'
import { refusalOf } from '../support/config.ts'
import { readDocument, root } from '../support/console.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { openStores, storeConfigs } from '../support/stores.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

type Open = (policy: SessionPolicy) => SessionProvider | Promise<SessionProvider>

const example = join(root, 'examples/session-provider/memory-provider.mjs')

/** For each provider a place with no sessions in it. */
const places: readonly [string, (t: Test) => Promise<Open>][] = [
  [
    'embedded',
    async (t) => {
      const directory = mkdtempSync(join(tmpdir(), 'toll-provider-'))
      const store = await openStore({ driver: 'embedded', path: 'store' }, directory)
      t.teardown(async () => {
        await store.close()
        rmSync(directory, { recursive: true, force: true })
      })
      return (policy) => new Sessions(store, policy)
    }
  ],
  [
    'redis',
    async (t) => {
      const redis = await startRedis()
      const store = await openStore({ driver: 'redis', url: redis.url, timeout: '1s' }, tmpdir())
      t.teardown(async () => {
        await store.close()
        await redis.stop()
      })
      return (policy) => new Sessions(store, policy)
    }
  ],
  [
    'the example',
    async () => (policy) => openOwnProvider(example, {}, { policy, directory: root, warn: () => {} })
  ]
]

for (const [name, place] of places) {
  for (const check of sessionProviderChecks) {
    t.test(`${name}: ${check.name}`, async (t) => {
      await check.run(await place(t))
      t.pass('it does')
    })
  }
}

for (const store of await openStores(t)) {
  t.test(`${store.driver}: what points at sessions that are gone is swept`, async (t) => {
    const policy = { idle: 60_000, absolute: 60_000, grace: 0, unconfirmed: 0, cap: 0, evicts: true }
    const sessions = new Sessions(store, policy)
    const caller = { address: '::1', agent: 'tap', client: 'web', methods: ['pwd'], stamp: '' }
    const sids = await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const userHash = `user${String(index % 3).padStart(8, '0')}`
        const sid = newSessionId(userHash)
        await sessions.start({ sid, uid: userHash, userHash, leastEpoch: 0, ...caller })
        return sid
      })
    )
    t.same(await sessions.online(), { sessions: 300, users: 3 })
    t.equal(await sessions.gc(), 0, 'nothing to sweep')
    // Lost without a word, as by a store that is out of memory or a gateway that is killed in the middle.
    const lost = sids.filter((sid) => userHashOf(sid).endsWith('0'))
    for (const sid of lost) await store.delete(sessionKey(userHashOf(sid), sid))
    t.equal(await sessions.gc(), 100)
    t.same(await sessions.online(), { sessions: 200, users: 2 })
    t.equal(await store.get(indexKey(userHashOf(lost[0]!))), undefined)
    t.equal(await sessions.gc(), 0)
  })
}

const users = { driver: 'file', path: 'users.json' }
const usersText = await usersFile({ kesa: { password: '123' } })
const visits = `export default {
  key: 'visits',
  setup: () => () => async (request, reply) => {
    const session = request.userSession()
    const count = ((await session?.get('visits')) ?? 0) + 1
    await session?.set('visits', request.headers['x-much'] ? 'x'.repeat(3000) : count)
    if (request.headers['x-forget']) await session.delete('visits')
    if (request.headers['x-odd']) await session.set('odd', undefined).catch((error) => { reply.header('x-told', error.message) })
    reply.header('x-visits', session === undefined ? 'none' : count + ' of ' + session.user)
  }
}`

async function start(t: Test, sessions: unknown, more: Record<string, unknown> = {}, modules = {}) {
  const upstream = await httpUpstream(t, (_request, response) => response.end('hello'))
  const started = await startGateway(
    t,
    {
      auth: { users, grace: '0s', unconfirmed: '0s', sessions },
      services: { hello: { nodes: [upstream.url] } },
      routes: [
        { id: 'counted', path: '/counted', service: 'hello', auth: { session: 'stateless' } },
        { id: 'strict', path: '/strict', service: 'hello', auth: { session: 'strict' } },
        { id: 'open', path: '/open', service: 'hello', auth: 'none' }
      ],
      plugins: [{ use: './visits.mjs', after: 'authenticate' }],
      ...more
    },
    { files: { 'users.json': usersText, 'visits.mjs': visits, ...modules } }
  )
  const { origin, admin, directory } = started
  const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  return {
    ...started,
    login: () => ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } }),
    refresh: (refresh: unknown) =>
      ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: refresh } }),
    get: (path: string, token: unknown, about: Ask = {}) =>
      ask('GET', origin + path, { ...about, token: String(token) }),
    post: (path: string, token: unknown) => ask('POST', origin + path, { token: String(token) }),
    asAdmin: (method: string, path: string) => ask(method, admin + path, { token })
  }
}

t.test('a gateway keeps its sessions in a provider of somebody else', async (t) => {
  const sessions = { provider: './memory-provider.mjs', max: 3, options: { most: 10 } }
  const modules = { 'memory-provider.mjs': readFileSync(example, 'utf8') }
  const { login, refresh, get, post, asAdmin, stop, log } = await start(t, sessions, {}, modules)
  // 1. Signing in, asking and refreshing.
  const { body: first } = await login()
  t.equal((await get('/strict', first.access_token)).status, 200)
  const second = await refresh(first.refresh_token)
  t.match(second, { status: 200, body: { session: first.session } })
  t.match((await asAdmin('GET', '/admin/online')).body, { sessions: 1, users: 1 })
  // 2. A token that is used again ends the family, access tokens included.
  t.match(await refresh(first.refresh_token), { status: 400, body: { code: 'INVALID_GRANT' } })
  t.equal((await refresh(second.body.refresh_token)).status, 400)
  t.equal((await get('/auth/me', second.body.access_token)).status, 401)
  // 3. An administrator kicks one session and lists the other.
  const [one, two] = [(await login()).body, (await login()).body]
  t.equal((await asAdmin('DELETE', `/admin/sessions/${one.session}`)).status, 204)
  t.equal((await get('/strict', one.access_token)).status, 401)
  t.match((await get('/auth/sessions', two.access_token)).body, { sessions: [{ id: two.session }] })
  // 4. The user signs out everywhere.
  const { body: three } = await login()
  t.equal((await post('/auth/logout-all', two.access_token)).status, 204)
  for (const { access_token } of [two, three]) t.equal((await get('/auth/me', access_token)).status, 401)
  t.equal((await get('/strict', (await login()).body.access_token)).status, 200, 'and may sign in again')
  await stop()
  t.ok(
    log().some(({ msg }) => msg === '1 sessions end with this process.'),
    'it is closed with the gateway'
  )
})

for (const store of await storeConfigs(t)) {
  t.test(`${store.driver}: a plugin keeps something in the session of who is asking`, async (t) => {
    const { login, refresh, get, asAdmin, origin } = await start(t, {}, { store })
    const { body } = await login()
    const told = async (headers: Record<string, string> = {}) => {
      const answer = await get('/counted', body.access_token, { headers })
      return [answer.status, answer.headers.get('x-visits')]
    }
    // 1. From request to request, over a refresh; each session has its own.
    t.same(await told(), [200, '1 of kesa'])
    t.same(await told(), [200, '2 of kesa'])
    await refresh(body.refresh_token)
    t.same(await told(), [200, '3 of kesa'])
    const other = await get('/counted', (await login()).body.access_token)
    t.equal(other.headers.get('x-visits'), '1 of kesa')
    // 2. Too much is refused and changes nothing; what is removed is gone; what is no JSON is the plugin's mistake.
    const much = await get('/counted', body.access_token, { headers: { 'x-much': '1' } })
    t.match(much, { status: 400, body: { code: 'BAD_REQUEST', detail: /larger than 2048 bytes/ } })
    t.same(await told({ 'x-forget': '1' }), [200, '4 of kesa'])
    t.same(await told(), [200, '1 of kesa'])
    const odd = await get('/counted', body.access_token, { headers: { 'x-odd': '1' } })
    t.match(odd.headers.get('x-told'), /"odd" is not JSON/)
    // 3. Nobody is asking, or their session is gone while a token of it still passes here.
    t.equal((await ask('GET', `${origin}/open`)).headers.get('x-visits'), 'none')
    await asAdmin('DELETE', `/admin/sessions/${body.session}`)
    t.match(await get('/counted', body.access_token), { status: 401, body: { code: 'UNAUTHENTICATED' } })
  })
}

t.test('a provider that fails is a store that is away', async (t) => {
  // It works until a file says how it fails from then on.
  const failing = `
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import memory from './memory-provider.mjs'
export default async (options, surroundings) => {
  const provider = await memory(options, surroundings)
  const fault = join(surroundings.directory, 'fault')
  const broken = {
    reject: async () => { throw new Error('password of the database: hunter2') },
    throw: () => { throw null },
    nonsense: async () => ({ outcome: 'ROTATED' }),
    nothing: async () => undefined
  }
  return Object.fromEntries(Object.entries(provider).map(([name, method]) => [
    name,
    (...args) => existsSync(fault) ? broken[readFileSync(fault, 'utf8')]() : method.apply(provider, args)
  ]))
}`
  const modules = { 'memory-provider.mjs': readFileSync(example, 'utf8'), 'failing.mjs': failing }
  const gateway = await start(t, { provider: './failing.mjs' }, {}, modules)
  const { login, refresh, get, asAdmin, directory, log } = gateway
  const { body } = await login()
  const fault = join(directory, 'fault')
  for (const kind of ['reject', 'throw', 'nonsense', 'nothing']) {
    writeFileSync(fault, kind)
    const answers = [
      await login(),
      await refresh(body.refresh_token),
      await get('/strict', body.access_token),
      await get('/counted', body.access_token),
      await asAdmin('GET', '/admin/online'),
      await get('/auth/sessions', body.access_token)
    ]
    for (const [index, answer] of answers.entries()) {
      t.match(answer, { status: 503, body: { code: 'STORE_UNAVAILABLE' } }, `${kind} ${index}`)
      t.notMatch(answer.text, /hunter2/)
    }
    t.equal((await get('/auth/me', body.access_token)).status, 200, 'what asks no provider goes on')
  }
  rmSync(fault)
  t.equal((await refresh(body.refresh_token)).status, 200, 'the token was not spent')
  t.notMatch(
    log().filter(({ level }) => level !== 'debug' && level !== 20),
    /hunter2/
  )
})

t.test('a module that is no provider is told before anything starts', async (t) => {
  const folder = t.testdir({
    'throws.mjs': 'throw new Error("no database driver")',
    'none.mjs': 'export const other = 1',
    'refuses.mjs': 'export default () => { throw new Error("options.url is missing.") }',
    'lacking.mjs': 'export default () => ({ start() {}, rotate() {}, gc: 1 })',
    'empty.mjs': 'export default () => undefined',
    'users.json': usersText
  })
  const path = join(folder, 'gateway.config.json')
  const loading = (provider: unknown, options = {}) => {
    writeFileSync(path, JSON.stringify({ auth: { users, sessions: { provider, options } } }))
    return loadGatewayConfig(path)
  }
  for (const [provider, sentence] of [
    ['./nowhere.mjs', /^the session provider cannot be loaded: Cannot find module/],
    ['./throws.mjs', 'the session provider cannot be loaded: no database driver'],
    ['./none.mjs', 'the session provider cannot be loaded: it exports no function as default']
  ] as const) {
    const { mistakes } = await refusalOf(loading(provider))
    t.match(mistakes, [{ pointer: '/auth/sessions/provider', sentence }], provider)
  }
  t.match((await refusalOf(loading(7))).mistakes, [{ pointer: '/auth/sessions/provider' }])
  const { value } = await loading('./lacking.mjs', { any: { thing: [1] } })
  t.same(value.auth?.sessions.options, { any: { thing: [1] } })
  for (const [provider, sentence] of [
    ['./refuses.mjs', 'The session provider "./refuses.mjs" cannot be used: options.url is missing.'],
    ['./empty.mjs', /"\.\/empty\.mjs" cannot be used: its function returned no provider\.$/],
    ['./lacking.mjs', /"\.\/lacking\.mjs" cannot be used: it has no method destroy, kick, .*writeData, gc\.$/]
  ] as const) {
    const modules = { [provider.slice(2)]: readFileSync(join(folder, provider), 'utf8') }
    await t.rejects(start(t, { provider }, {}, modules), { message: sentence }, provider)
  }
})

t.test('the guide lists the methods there are', async (t) => {
  const guide = readDocument('docs/guides/session-provider.md')
  for (const method of Object.keys((await import(example)).default({}, { policy: {}, warn: () => {} })))
    t.ok(guide.includes(`\`${method}`), method)
})
