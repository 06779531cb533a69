import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { revocationLasting, revocationLog, revocationSet } from '../../services/identity/sessions/records.ts'
import { type Answer, ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { listen } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ kesa: { password: '123' }, tess: { password: '123' } })

async function start(t: Test, auth: Record<string, unknown> = {}, given?: RedisServer) {
  const redis = given ?? (await startRedis())
  if (given === undefined) t.teardown(() => redis.stop())
  const configOf = (auth: Record<string, unknown>) => ({
    store: { driver: 'redis', url: redis.url },
    auth: { users: { driver: 'file', path: 'users.json' }, ...auth },
    routes: []
  })
  const { origin, admin, log, directory, reconfigure } = await startGateway(t, configOf(auth), {
    files: { 'users.json': users }
  })
  return {
    redis,
    log,
    reconfigure: (next: Record<string, unknown>) => reconfigure(configOf(next)),
    directory,
    admin,
    asAdmin: (method: string, path: string, json?: unknown) =>
      ask(method, admin + path, {
        token: readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim(),
        ...(json !== undefined && { json })
      }),
    login: (username = 'kesa') =>
      ask('POST', `${origin}/auth/login`, { json: { username, password: '123' } }),
    logoutAll: (token: unknown) => ask('POST', `${origin}/auth/logout-all`, { token: String(token) }),
    refresh: (token: unknown) => ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: token } }),
    logout: (token: unknown) => ask('POST', `${origin}/auth/logout`, { token: String(token) }),
    me: (token: unknown) => ask('GET', `${origin}/auth/me`, { token: String(token) })
  }
}

function isUnavailable(t: Test, answer: Answer): void {
  t.match(answer, { status: 503, body: { code: 'STORE_UNAVAILABLE' } })
  t.equal(answer.headers.get('retry-after'), '1')
  t.notMatch(answer.text, /redis|ECONN|ioredis|timed out|127\.0\.0\.1|stack/i)
}

async function until(what: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5000
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error('it did not happen within 5 s')
    await sleep(50)
  }
}

t.test(
  'while Redis stalls, tokens pass, sign-in and refresh are 503 in time, and all is well afterwards',
  async (t) => {
    const { redis, login, refresh, me, logout } = await start(t, { maxStaleness: '30s' })
    const { body } = await login()
    redis.pause()
    t.equal((await me(body.access_token)).status, 200, 'no store call on the way')
    const from = performance.now()
    isUnavailable(t, await login())
    isUnavailable(t, await refresh(body.refresh_token))
    t.ok(performance.now() - from < 3000, 'each within its timeout')
    redis.resume()
    await until(async () => (await login()).status === 200)
    t.equal((await refresh(body.refresh_token)).status, 200, 'not lost, not spent')
    t.equal((await me(body.access_token)).status, 200)
    t.equal((await logout(body.access_token)).status, 204)
  }
)

t.test(
  'who is ended while the store is away is out here at once, and everywhere when it is back',
  async (t) => {
    const { redis, login, logout, logoutAll, me, refresh, admin, asAdmin } = await start(t)
    const [{ body: one }, { body: two }, { body: three }] = [
      await login(),
      await login('tess'),
      await login()
    ]
    await redis.kill()
    const pending = async () =>
      ((await asAdmin('GET', '/admin/revocations')).body as { pending: number }).pending
    // 1. Each of them is told that the others do not know yet.
    for (const answer of [
      await logout(one.access_token),
      await logoutAll(two.access_token),
      await asAdmin('POST', '/admin/revocations', { session: three.session }),
      await asAdmin('POST', '/admin/revocations', { token: 'a-jti' }),
      await asAdmin('POST', '/admin/revocations', { client: 'a-client' })
    ]) {
      t.match(answer, { status: 202, body: { propagated: false } })
    }
    for (const { access_token } of [one, two, three]) t.equal((await me(access_token)).status, 401)
    t.ok((await pending()) >= 6)
    // 2. The store comes back, with the sessions still in it.
    await redis.restart()
    await until(async () => (await pending()) === 0)
    for (const { refresh_token } of [one, two, three]) t.equal((await refresh(refresh_token)).status, 400)
    const client = new Redis(redis.url)
    t.teardown(() => client.disconnect())
    const events = await client.zrange(revocationSet, '0', '-1')
    t.ok(events.includes(`s ${String(one.session)}`) && events.includes('j a-jti'))
    t.ok(events.some((event) => event.endsWith(' tess')))
    t.equal(Object.keys(await client.hgetall(revocationLasting)).join(), 'c a-client')
    // 3. Signing in again works, also for whoever was signed out everywhere.
    await until(async () => (await login('tess')).status === 200)
    const { body: later } = await login('tess')
    t.equal((await me(later.access_token)).status, 200)
    t.equal((await ask('GET', `${admin}/readyz?verbose`)).body.ready, true)
  }
)

t.test(
  'with idle shorter than access, who signs out while the store is away is out all the same',
  async (t) => {
    const { redis, login, logout, logoutAll, me } = await start(t, { idle: '1s', onStale: 'closed' })
    const [{ body: one }, { body: two }, { body: three }] = [
      await login(),
      await login('tess'),
      await login()
    ]
    t.equal((await me(one.access_token)).status, 200)
    await redis.kill()
    await sleep(1100)
    // Nobody here knows whether they fell asleep: a request that wants something is refused, one that gives up is not.
    isUnavailable(t, await me(three.access_token))
    t.match(await logout(one.access_token), { status: 202, body: { propagated: false } })
    t.match(await logoutAll(two.access_token), { status: 202, body: { propagated: false } })
    for (const { access_token } of [one, two]) t.equal((await me(access_token)).status, 401)
  }
)

t.test('a reload of auth while the store is away loses nothing that was ended meanwhile', async (t) => {
  const { redis, login, logout, logoutAll, me, refresh, asAdmin, reconfigure } = await start(t, {
    maxStaleness: '30s'
  })
  const [{ body: one }, { body: two }, { body: stays }] = [await login(), await login('tess'), await login()]
  await redis.kill()
  t.equal((await logout(one.access_token)).status, 202)
  t.equal((await logoutAll(two.access_token)).status, 202)
  t.equal((await asAdmin('POST', '/admin/revocations', { client: 'a-client' })).status, 202)
  // 1. Each makes another identity.
  for (const auth of [
    { idle: '20m', maxStaleness: '30s' },
    { access: '20m', maxStaleness: '25s' }
  ]) {
    t.match(await reconfigure(auth), { outcome: 'applied' })
    for (const { access_token } of [one, two]) t.equal((await me(access_token)).status, 401)
    // Nor is the store silent for longer than it is.
    t.equal((await me(stays.access_token)).status, 200)
    const { body } = await asAdmin('GET', '/admin/revocations')
    t.match(body, { fresh: true, entries: { session: 1, user: 1, client: 1 } })
    t.ok(Number(body.pending) >= 3)
  }
  // 2. The store hears of it all from whoever is there when it is back.
  await redis.restart()
  const pending = async () => (await asAdmin('GET', '/admin/revocations')).body.pending
  await until(async () => (await pending()) === 0)
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  const events = await client.zrange(revocationSet, '0', '-1')
  t.ok(events.includes(`s ${String(one.session)}`))
  t.ok(events.some((event) => event.endsWith(' tess')))
  t.equal(Object.keys(await client.hgetall(revocationLasting)).join(), 'c a-client')
  for (const { refresh_token } of [one, two]) t.equal((await refresh(refresh_token)).status, 400)
  const { body: later } = await login('tess')
  t.equal((await refresh(later.refresh_token)).status, 200, 'who was signed out everywhere may come back')
})

t.test('past maxStaleness nobody knows what was revoked: 503, until the store is back', async (t) => {
  const { redis, login, me } = await start(t, { maxStaleness: '1s', onStale: 'closed' })
  const { body } = await login()
  redis.pause()
  await until(async () => (await me(body.access_token)).status === 503)
  isUnavailable(t, await me(body.access_token))
  redis.resume()
  await until(async () => (await me(body.access_token)).status === 200)
})

t.test('what was revoked stays revoked after Redis lost its memory', async (t) => {
  const { redis, login, logout, me, refresh } = await start(t)
  const [{ body: ended }, { body: going }] = [await login(), await login()]
  t.equal((await logout(ended.access_token)).status, 204)
  await redis.kill()
  t.equal((await me(ended.access_token)).status, 401)
  await redis.restart()
  await until(async () => (await login()).status === 200)
  t.equal((await me(ended.access_token)).status, 401)
  t.equal((await me(going.access_token)).status, 200, 'a token in date needs no session in the store')
  t.equal((await refresh(going.refresh_token)).status, 400, 'its session is gone: sign in again')
})

t.test('after Redis lost its memory, a gateway that starts then knows of what others remember', async (t) => {
  const { redis, login, logout, me, directory, logoutAll } = await start(t)
  const [{ body: ended }, { body: everywhere }] = [await login(), await login('tess')]
  t.equal((await logout(ended.access_token)).status, 204)
  t.equal((await logoutAll(everywhere.access_token)).status, 204)
  await redis.kill()
  await redis.restart()
  await until(async () => (await login()).status === 200)
  const keys = { path: join(directory, '.toll/keys.json') }
  // The first gateway notices the restart, and tells the new memory what it knows.
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  await until(async () => (await client.zcard(revocationSet)) >= 2)
  const { origin } = await startGateway(t, {
    store: { driver: 'redis', url: redis.url },
    auth: { users: { driver: 'file', path: join(directory, 'users.json') }, keys },
    routes: []
  })
  const there = async (token: unknown) =>
    (await ask('GET', `${origin}/auth/me`, { token: String(token) })).status
  t.equal(await there(ended.access_token), 401)
  t.equal(await there(everywhere.access_token), 401)
  const { body: later } = await login('tess')
  t.equal((await me(later.access_token)).status, 200)
  t.equal(await there(later.access_token), 200, 'signing in again works everywhere')
})

t.test('after Redis lost its memory, who was signed out everywhere can sign in again', async (t) => {
  const { redis, login, me, logoutAll } = await start(t)
  const { body } = await login()
  t.equal((await logoutAll(body.access_token)).status, 204)
  await redis.kill()
  await redis.restart()
  await until(async () => (await login()).status === 200)
  const { body: later } = await login()
  t.equal((await me(later.access_token)).status, 200)
})

t.test('out of memory: nobody signs in or refreshes, tokens pass, and ending goes on', async (t) => {
  const { redis, login, refresh, me, logout, asAdmin } = await start(t)
  const [{ body: one }, { body: two }] = [await login(), await login()]
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  await client.config('SET', 'maxmemory', '1')
  isUnavailable(t, await login())
  isUnavailable(t, await refresh(one.refresh_token))
  t.equal((await me(one.access_token)).status, 200)
  t.equal((await logout(one.access_token)).status, 204)
  t.equal((await me(one.access_token)).status, 401)
  t.equal((await asAdmin('POST', '/admin/revocations', { client: 'gone' })).status, 204)
  await client.config('SET', 'maxmemory', '0')
  t.equal((await refresh(one.refresh_token)).status, 400)
  t.equal((await refresh(two.refresh_token)).status, 200, 'not spent by the one that failed')
})

t.test('read-only: sign-in and refresh are 503, ending holds here and later everywhere', async (t) => {
  const { redis, login, refresh, me, logout } = await start(t)
  const [{ body: one }, { body: two }] = [await login(), await login()]
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  // A replica of a master that is not there: what a failover leaves behind for a moment.
  await client.replicaof('127.0.0.1', 1)
  isUnavailable(t, await login())
  isUnavailable(t, await refresh(two.refresh_token))
  t.match(await logout(one.access_token), { status: 202, body: { propagated: false } })
  t.equal((await me(one.access_token)).status, 401)
  t.equal((await me(two.access_token)).status, 200)
  await client.replicaof('NO', 'ONE')
  await until(async () => (await login()).status === 200)
  await until(async () =>
    (await client.zrange(revocationSet, '0', '-1')).includes(`s ${String(one.session)}`)
  )
  t.equal((await refresh(one.refresh_token)).status, 400)
  t.equal((await refresh(two.refresh_token)).status, 200)
})

/** Before Redis: a proxy that holds each answer back for `delay.ms`. */
async function slowly(t: Test, port: number) {
  const delay = { ms: 0 }
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    near.pipe(far)
    far.on('data', (chunk) => setTimeout(() => near.writable && near.write(chunk), delay.ms))
    for (const [one, other] of [
      [near, far],
      [far, near]
    ] as const) {
      one.on('error', () => {})
      one.once('close', () => other.destroy())
    }
  })
  return { port: await listen(t, server), delay }
}

t.test(
  'slow: within the timeout all works, beyond it 503 and 202, and a refresh whose answer was lost is not',
  async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const { port, delay } = await slowly(t, redis.port)
    const url = `redis://127.0.0.1:${port}`
    const { login, refresh, me, logout } = await start(t, { maxStaleness: '30s' }, { ...redis, url })
    const [{ body: one }, { body: two }] = [await login(), await login()]
    delay.ms = 50
    const { body: next } = await refresh(one.refresh_token)
    t.equal((await me(next.access_token)).status, 200)
    delay.ms = 300
    const answers: number[] = []
    for (const token of [next.refresh_token, next.refresh_token]) {
      isUnavailable(t, await refresh(token))
      const from = performance.now()
      t.equal((await me(next.access_token)).status, 200)
      answers.push(performance.now() - from)
    }
    isUnavailable(t, await login())
    t.match(await logout(two.access_token), { status: 202 })
    t.equal((await me(two.access_token)).status, 401)
    t.ok(Math.min(...answers) < 250, 'a request with a token did not wait for the store')
    delay.ms = 0
    await until(async () => (await login()).status === 200)
    // Redis had done what nobody heard of; the token that was spent so gives what was lost.
    t.equal((await refresh(next.refresh_token)).status, 200)
    await until(async () => (await refresh(two.refresh_token)).status === 400)
  }
)

t.test(
  'an older copy after a failover, and a trimmed log: what was revoked since is told again',
  async (t) => {
    const { redis, login, logout, me, directory } = await start(t)
    const client = new Redis(redis.url)
    t.teardown(() => client.disconnect())
    const [{ body: one }, { body: two }, { body: three }] = [await login(), await login(), await login()]
    t.equal((await logout(one.access_token)).status, 204)
    await client.save()
    t.equal((await logout(two.access_token)).status, 204)
    await redis.kill()
    await redis.restart()
    // At once, not when the first gateway has had time to tell: what it tells is also in the log.
    const { origin } = await startGateway(t, {
      store: { driver: 'redis', url: redis.url },
      auth: {
        users: { driver: 'file', path: join(directory, 'users.json') },
        keys: { path: join(directory, '.toll/keys.json') }
      },
      routes: []
    })
    const there = async (token: unknown) =>
      (await ask('GET', `${origin}/auth/me`, { token: String(token) })).status
    t.equal(await there(three.access_token), 200)
    for (const { access_token } of [one, two]) {
      t.equal((await me(access_token)).status, 401)
      await until(async () => (await there(access_token)) === 401)
    }
    // Nor does the session itself come back, whose refresh token outlives what the list remembers.
    const { body: left } = await ask('GET', `${origin}/auth/sessions`, { token: String(three.access_token) })
    const sids = (left.sessions as { id: string }[]).map(({ id }) => id)
    t.same(sids, [three.session])
    // The log is cut while an event of another gateway is on its way: those who missed it read the whole list.
    await until(async () => (await login()).status === 200)
    const events = [`s ${String(three.session)}`]
    await client
      .multi()
      .zadd(revocationSet, Date.now() + 600_000, events[0]!)
      .xadd(revocationLog, '*', 'event', 'x unknown')
      .xtrim(revocationLog, 'MAXLEN', 0)
      .exec()
    await until(async () => (await me(three.access_token)).status === 401)
    await until(async () => (await there(three.access_token)) === 401)
  }
)
