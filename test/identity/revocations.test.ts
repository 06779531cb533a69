import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { fromEvent, type Revocation, toEvent } from '../../services/identity/revocations/revocation.ts'
import { liftedFor, RevocationList } from '../../services/identity/revocations/revocation-list.ts'
import { Revocations } from '../../services/identity/revocations/revocations.ts'
import type { Verified } from '../../services/identity/tokens/verifier.ts'
import { ask } from '../support/client.ts'
import { root } from '../support/console.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { openStores, storeConfigs } from '../support/stores.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ kesa: { password: '123' }, tess: { password: '123' } })

/** A gateway with two clients; another one over the same store, keys and users with `beside`. */
async function start(
  t: Test,
  store: Record<string, unknown>,
  { auth = {}, beside, rest = {} }: { auth?: object; beside?: string; rest?: object } = {}
) {
  const shared = (name: string) => (beside === undefined ? name : join(beside, name))
  const gateway = await startGateway(
    t,
    {
      store: store.path === undefined ? store : { ...store, path: shared(String(store.path)) },
      auth: {
        users: { driver: 'file', path: shared('users.json') },
        keys: { path: shared('.toll/keys.json') },
        clients: ['web', 'app'],
        ...auth
      },
      routes: [],
      ...rest
    },
    { files: { 'users.json': users } }
  )
  const { origin, admin, directory } = gateway
  const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  return {
    ...gateway,
    token,
    login: (username = 'kesa', client = 'web') =>
      ask('POST', `${origin}/auth/login`, { json: { username, password: '123', client_id: client } }),
    refresh: (refresh: unknown) =>
      ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: refresh } }),
    me: async (access: unknown) => (await ask('GET', `${origin}/auth/me`, { token: String(access) })).status,
    revoke: (json: unknown) => ask('POST', `${admin}/admin/revocations`, { token, json }),
    lift: (client: string) => ask('DELETE', `${admin}/admin/revocations/client/${client}`, { token }),
    list: async (query = '') =>
      (await ask('GET', `${admin}/admin/revocations${query}`, { token })).body as unknown as Listing
  }
}

interface Listing {
  readonly revocations: readonly { kind: string; value: string; until: string | null }[]
  readonly entries: Readonly<Record<string, number>>
  readonly pending: number
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5000
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error('it did not happen within 5 s')
    await sleep(20)
  }
}

const claimsOf = (token: unknown): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token).split('.')[1]!, 'base64url').toString()) as Record<string, unknown>

for (const store of await storeConfigs(t)) {
  t.test(`${String(store.driver)}: revokes a session, a user, a token and a client`, async (t) => {
    const { login, refresh, me, revoke, list, lift, admin, token } = await start(t, store)
    const [{ body: one }, { body: two }, { body: three }] = [
      await login(),
      await login(),
      await login('tess', 'app')
    ]
    // 1. One token: its session goes on.
    t.equal((await revoke({ token: claimsOf(one.access_token).jti })).status, 204)
    t.equal(await me(one.access_token), 401)
    const { body: next } = await refresh(one.refresh_token)
    t.equal(await me(next.access_token), 200)
    // 2. One session.
    t.equal((await revoke({ session: one.session })).status, 204)
    t.equal(await me(next.access_token), 401)
    t.equal((await refresh(next.refresh_token)).status, 400)
    t.equal(await me(two.access_token), 200)
    // 3. A user, who can sign in again.
    t.equal((await revoke({ user: 'kesa' })).status, 204)
    t.equal(await me(two.access_token), 401)
    t.equal(await me((await login()).body.access_token), 200)
    t.equal(await me(three.access_token), 200)
    // 4. Revoking again, or what never was, is as good.
    for (const body of [
      { session: one.session },
      { user: 'nobody' },
      { token: 'unknown' },
      { client: 'unknown' }
    ]) {
      for (const _ of [1, 2]) t.equal((await revoke(body)).status, 204)
    }
    // 5. A client stays out, whatever it shows, until it is let in again; its refresh token is not spent meanwhile.
    t.equal((await revoke({ client: 'app' })).status, 204)
    t.equal(await me(three.access_token), 401)
    t.match(await refresh(three.refresh_token), { status: 403, body: { code: 'FORBIDDEN' } })
    t.equal((await login('tess', 'app')).status, 403)
    t.equal((await login('tess', 'web')).status, 200)
    t.equal((await lift('app')).status, 204)
    t.equal((await lift('app')).status, 204)
    t.equal(await me(three.access_token), 200)
    t.equal((await refresh(three.refresh_token)).status, 200)
    t.equal((await login('tess', 'app')).status, 200)
    // 6. The list says what is in force, in pages.
    const { revocations, entries, pending } = await list('?limit=1000')
    t.equal(pending, 0)
    t.match(entries, { client: 1, token: 2, user: 2, key: 0 })
    const has = (kind: string, value: unknown) =>
      revocations.some((one) => one.kind === kind && one.value === value)
    t.ok(
      has('session', one.session) && has('user', 'kesa') && has('user', 'nobody') && has('token', 'unknown')
    )
    t.same(
      revocations.filter(({ kind }) => kind === 'client'),
      [{ kind: 'client', value: 'unknown', until: null }]
    )
    t.same((await list('?limit=1&offset=1')).revocations, revocations.slice(1, 2))
    // 7. What is not exactly one of them is refused, and nobody gets in without the admin token.
    for (const body of [
      {},
      [],
      undefined,
      { user: 'a', token: 'b' },
      { user: '' },
      { user: 1 },
      { session: 'x' },
      { key: 'k' }
    ]) {
      t.match(
        await revoke(body),
        { status: 400, body: { code: 'BAD_REQUEST' } },
        JSON.stringify(body) ?? 'nothing'
      )
    }
    t.equal((await ask('GET', `${admin}/admin/revocations?limit=1001`, { token })).status, 400)
    t.equal((await ask('POST', `${admin}/admin/revocations`, { json: { user: 'tess' } })).status, 401)
  })

  t.test(
    `${String(store.driver)}: a revoked client stays out over restarts, at every gateway, until it is lifted`,
    async (t) => {
      const first = await start(t, store)
      const { body } = await first.login('kesa', 'app')
      t.equal((await first.revoke({ client: 'app' })).status, 204)
      const beside = first.directory
      const second = await start(t, store, { beside })
      t.equal(await second.me(body.access_token), 401)
      t.equal((await second.login('kesa', 'app')).status, 403)
      t.equal((await second.lift('app')).status, 204)
      await until(async () => (await first.me(body.access_token)) === 200)
      // Who starts later knows of the lifting, too.
      const third = await start(t, store, { beside })
      t.equal(await third.me(body.access_token), 200)
    }
  )
}

t.test('of two events about one client the greater stamp holds, in whatever order they arrive', async (t) => {
  for (const store of await openStores(t)) {
    const open = async (now: () => number) => {
      const options = {
        keep: () => 60_000,
        now,
        reassert: async () => {},
        endAgain: async () => {},
        warn: () => {}
      }
      const revocations = await Revocations.start(store, options)
      t.teardown(() => revocations.close())
      return revocations
    }
    // The clock of the second is an hour behind, and what it decides later still counts.
    const [a, b] = [await open(() => Date.now()), await open(() => Date.now() - 3_600_000)]
    await a.add([{ kind: 'client', client: 'app' }])
    await until(() => b.isClientRevoked('app'))
    t.equal(await b.lift({ kind: 'client', client: 'app' }), true)
    await until(() => !a.isClientRevoked('app'))
    // A key that was revoked stays so: nobody but its owner knows what else it signed.
    await a.add([{ kind: 'key', kid: 'k1' }])
    const c = await open(() => Date.now())
    t.ok(c.isKeyRevoked('k1'))
    t.notOk(c.isClientRevoked('app'))
  }
})

t.test('a list: what it says of a token, what it forgets, and what it keeps', async (t) => {
  const list = new RevocationList()
  const token = (claims: object, isOwn = true) =>
    ({
      session: undefined,
      kid: 'k',
      isOwn,
      claims: { iss: 'partner', jti: 'j', ...claims }
    }) as unknown as Verified
  // Names of a foreign issuer are its own.
  list.note({ kind: 'token', jti: 'partner|j' }, 100)
  t.equal(list.find(token({})), undefined)
  t.equal(list.find(token({}, false)), 'revoked.jti')
  list.note({ kind: 'key', kid: 'k', stamp: 1 }, 0)
  t.equal(list.find(token({})), 'revoked.kid')
  t.equal(list.find(token({ jti: 'other' }, false)), undefined)
  // A lifting is remembered for a day, what it lifted is not brought back by one who missed it.
  list.note({ kind: 'client', client: 'c', stamp: 5, isLifted: true }, 0)
  list.note({ kind: 'client', client: 'c', stamp: 4 }, 0)
  t.equal(list.find(token({ client_id: 'c', jti: 'x', kid: 'x' })), 'revoked.kid')
  t.equal(list.count().client, 0)
  list.prune(99)
  t.equal(list.count().token, 1)
  list.prune(liftedFor + 5)
  t.equal(list.count().token, 0)
  t.equal(list.count().key, 1)
  t.same([...list.known()], [{ kind: 'key', kid: 'k', stamp: 1, isLifted: false }])
})

t.test('every revocation is read from the log as it was written, and nothing else is', async (t) => {
  const all: Revocation[] = [
    { kind: 'session', sid: 's' },
    { kind: 'user', userHash: 'h', epoch: 3, uid: 'ä b|c' },
    { kind: 'user', userHash: 'h', epoch: 3 },
    { kind: 'token', jti: 'https://issuer/ x|j' },
    { kind: 'client', client: 'a b', stamp: 7, isLifted: true },
    { kind: 'key', kid: 'partner|k', stamp: 7, isLifted: false }
  ]
  for (const one of all) t.same(fromEvent(toEvent(one)), one)
  for (const event of ['', 's', 'x y', 'u h', 'u h x', 'j %', 'c %zz 1 1', 'k k'])
    t.equal(fromEvent(event), undefined)
})

t.test('100,000 revocations: a gateway that starts has them soon, and a lookup costs the same', async (t) => {
  const count = 100_000
  for (const store of await openStores(t)) {
    const options = {
      keep: () => 600_000,
      now: Date.now,
      reassert: async () => {},
      endAgain: async () => {},
      warn: () => {}
    }
    const first = await Revocations.start(store, options)
    t.teardown(() => first.close())
    await first.add(Array.from({ length: count }, (_, index) => ({ kind: 'token', jti: `jti-${index}` })))
    global.gc?.()
    const before = process.memoryUsage().heapUsed
    const from = performance.now()
    const second = await Revocations.start(store, options)
    t.teardown(() => second.close())
    const took = performance.now() - from
    t.equal(second.state().entries.token, count)
    t.ok(second.heardAt > from)
    t.ok(took < 20_000, 'bounded')
    const token = { kid: 'k', isOwn: true, claims: { jti: 'jti-99999' } } as unknown as Verified
    const lookups = performance.now()
    for (let index = 0; index < 100_000; index += 1) second.find(token)
    const each = ((performance.now() - lookups) / 100_000) * 1e6
    t.ok(each < 20_000, 'no walk through the list')
    const megabytes = (process.memoryUsage().heapUsed - before) / 1e6
    t.comment(
      `${store.driver}: snapshot ${took.toFixed(0)} ms, about ${megabytes.toFixed(0)} MB, lookup ${each.toFixed(0)} ns`
    )
  }
})

t.test(
  'onStale: closed refuses, degraded takes whom it knew, open takes all and counts; each route as it says',
  async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const up = await httpUpstream(t, (_request, response) => response.end('up'))
    const route = (onStale: string) => ({
      id: onStale,
      path: `/${onStale}`,
      service: 'up',
      auth: { onStale }
    })
    const rest = {
      services: { up: { nodes: [up.url] } },
      routes: [
        route('closed'),
        route('degraded'),
        route('open'),
        { id: 'default', path: '/default', service: 'up' }
      ]
    }
    const store = { driver: 'redis', url: redis.url, timeout: '1s' }
    const { origin, admin, login, log } = await start(t, store, {
      auth: { maxStaleness: '1s', access: '1h' },
      rest
    })
    const get = async (path: string, access: unknown) =>
      (await ask('GET', `${origin}/${path}`, { token: String(access) })).status
    const { body } = await login()
    const readiness = async () => (await ask('GET', `${admin}/readyz?verbose`)).body.revocations
    t.match(await readiness(), { fresh: true, pending: 0 })
    await redis.kill()
    // A token that was issued just now is young; `test/identity/freshness.test.ts` has the old ones.
    await until(async () => (await get('closed', body.access_token)) === 503)
    const refused = await ask('GET', `${origin}/closed`, { token: String(body.access_token) })
    t.match(refused, { status: 503, body: { code: 'STORE_UNAVAILABLE' } })
    t.equal(refused.headers.get('retry-after'), '1')
    for (const path of ['open', 'degraded', 'default']) t.equal(await get(path, body.access_token), 200, path)
    await sleep(300)
    t.match(await readiness(), { fresh: false })
    const metrics = (await ask('GET', `${admin}/metrics`)).text
    t.match(metrics, /^tollkeeper_stale_requests_served_total 3$/m)
    t.match(metrics, /^tollkeeper_revocations_lag_seconds [1-9]/m)
    t.match(metrics, /^tollkeeper_revocations_outbox_length 0$/m)
    t.match(metrics, /^tollkeeper_revocations_entries\{kind="session"\} 0$/m)
    await redis.restart()
    await until(async () => (await get('closed', body.access_token)) === 200)
    await sleep(300)
    const said = log().map(({ msg }) => String(msg))
    t.equal(said.filter((msg) => msg.startsWith('The store was not heard of for 1000 ms')).length, 1)
    t.equal(said.filter((msg) => msg.startsWith('The store is heard of again after')).length, 1)
  }
)

/** Runs `toll revoke` against a running gateway. */
function toll(admin: string, token: string, args: readonly string[]) {
  const env = { ...process.env, TOLL_ADMIN_URL: admin, TOLL_ADMIN_TOKEN: token }
  const child = spawn(process.execPath, [`${root}build/bin/toll.js`, ...args], { env })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  return new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, out, err }))
  )
}

t.test('toll revoke: exit code 0 everywhere, 3 at this gateway only, 1 refused', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const { login, me, admin, token } = await start(t, { driver: 'redis', url: redis.url, timeout: '1s' })
  const run = (...args: string[]) => toll(admin, token, args)
  t.match(await run('revoke', 'ls'), { code: 0, out: 'Nothing is revoked.\n' })
  const [{ body: one }, { body: two }] = [await login(), await login('tess', 'app')]
  // One id in 64 begins with a dash.
  t.match(await run('revoke', 'session', '--', String(one.session)), { code: 0, out: /^Revoked session / })
  t.equal(await me(one.access_token), 401)
  t.match(await run('revoke', 'client', 'app', '--json'), { code: 0, out: '{"propagated":true}\n' })
  t.match((await run('revoke', 'ls')).out, /^client\tapp\tuntil lifted\nsession\t\S+\t\d{4}-/)
  t.match(await run('revoke', 'lift', 'client', 'app'), { code: 0, out: /^Lifted/ })
  t.match(await run('revoke', 'lift', 'user', 'tess'), { code: 1, err: /only the revocation of a client/ })
  t.match(await run('revoke', 'session', 'x'), { code: 1, err: /not a session id/ })
  await redis.kill()
  t.match(await run('revoke', 'user', 'tess'), { code: 3, out: /holds at this gateway; the others/ })
  t.equal(await me(two.access_token), 401)
  t.match(await run('revoke', 'token', 'j', '--json'), { code: 3, out: '{"propagated":false}\n' })
  t.match(await run('session', 'kick', String(two.session)), { code: 3, out: /holds at this gateway/ })
})
