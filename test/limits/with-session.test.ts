import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { Browser } from '../support/browser.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { eventually } from '../support/own-process.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const files = { 'users.json': await usersFile({ kesa: { password: '123' }, other: { password: '123' } }) }
const users = { driver: 'file', path: 'users.json' }
const strict = { session: 'strict' }
const limit = { quota: 100, window: '1h', by: 'subject', scope: 'exact' }

type Fields = Record<string, unknown>

/** A gateway with these routes, over Redis or in files. */
async function start(t: Test, routes: Record<string, Fields>, redis?: RedisServer, more: Fields = {}) {
  const upstream = await httpUpstream(t, (_request, response) => response.end('served'))
  const { origin } = await startGateway(
    t,
    {
      auth: { users },
      services: { app: { nodes: [upstream.url] } },
      routes: Object.entries(routes).map(([id, fields]) => ({
        id,
        path: `/${id}`,
        service: 'app',
        ...fields
      })),
      ...(redis && { store: { driver: 'redis', url: redis.url } }),
      ...more
    },
    { files }
  )
  const login = async (username = 'kesa'): Promise<string> => {
    const { body } = await ask('POST', `${origin}/auth/login`, { json: { username, password: '123' } })
    return String(body.access_token)
  }
  const get = async (path: string, token: string) => {
    const { status, body, headers } = await ask('GET', `${origin}/${path}`, { token })
    const [, left] = /;r=(\d+)/.exec(headers.get('ratelimit') ?? '') ?? []
    return { status, code: body?.code, left: left === undefined ? undefined : Number(left) }
  }
  return { origin, login, get }
}

const sessionOf = (token: string): string =>
  (JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { sid: string }).sid

/** Scripts that Redis is told to run and that name this, while something is done. */
async function scripts(t: Test, redis: RedisServer, name: string, work: () => Promise<unknown>) {
  const seen: string[] = []
  const client = new Redis(redis.url, { protocol: 2 })
  t.teardown(() => client.disconnect())
  const monitor = await client.monitor()
  t.teardown(() => monitor.disconnect())
  const teller = new Redis(redis.url, { protocol: 2 })
  t.teardown(() => teller.disconnect())
  monitor.on('monitor', (_time: string, [command = '', ...args]: string[], source: string) => {
    const text = args.join(' ')
    if (text === 'that was all') seen.push(text)
    else if (/^evalsha$/i.test(command) && source !== 'lua' && text.includes(name)) seen.push(text)
  })
  await work()
  await teller.echo('that was all')
  await eventually('everything was seen', () => seen.at(-1) === 'that was all')
  return seen.slice(0, -1)
}

t.test('a strict session and an exact limit are one script together', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const routes = {
    one: { auth: strict, limit },
    scopes: { auth: { ...strict, scopes: ['none-has-it'] }, limit },
    alone: { auth: strict },
    leased: { auth: strict, limit: { qps: 1000, slack: 100, by: 'subject', scope: 'leased' } },
    waits: { auth: strict, limit: { qps: 1000, slack: 100, by: 'subject', scope: 'exact', mode: 'wait' } }
  }
  const { login, get } = await start(t, routes, redis)
  const token = await login()
  const sid = sessionOf(token)
  // Redis has to learn the scripts first.
  for (const path of Object.keys(routes)) await get(path, token)
  const asked = (path: string) => scripts(t, redis, sid, () => get(path, token))

  const together = await asked('one')
  t.equal(together.length, 1)
  t.match(together[0], /toll:quota:route:one:sub/, 'the one that looks for the session counts as well')

  for (const path of ['scopes', 'alone', 'leased', 'waits']) {
    const [script = '', ...others] = await asked(path)
    t.equal(others.length, 0, path)
    t.notMatch(script, /toll:(?:quota|limit)/, `${path}: the session is asked for by itself`)
  }

  // Requests of one moment still share one.
  const many = await scripts(t, redis, sid, () =>
    Promise.all(Array.from({ length: 20 }, () => get('one', token)))
  )
  t.ok(many.length < 20, `${many.length} scripts for 20 requests`)
})

for (const kind of ['redis', 'embedded'] as const) {
  t.test(`${kind}: what they say together is what each says by itself`, async (t) => {
    const redis = kind === 'redis' ? await startRedis() : undefined
    t.teardown(() => redis?.stop())
    const few = { ...limit, quota: 3 }
    const { origin, login, get } = await start(
      t,
      {
        few: { auth: strict, limit: few },
        scopes: { auth: { ...strict, scopes: ['none-has-it'] }, limit: few }
      },
      redis
    )
    const [token, again] = [await login(), await login()]
    t.match(await get('few', token), { status: 200, left: 2 })
    t.match(await get('few', again), { status: 200, left: 1 }, 'one user has one count')
    t.match(await get('few', await login('other')), { status: 200, left: 2 })

    // A session that is over is refused, and not counted.
    t.equal((await ask('POST', `${origin}/auth/logout`, { token })).status, 204)
    t.match(await get('few', token), { status: 401 })
    t.match(await get('few', again), { status: 200, left: 0 })
    t.match(await get('few', again), { status: 429, code: 'RATE_LIMITED' })

    // Who is refused for something else is not counted either.
    for (let count = 0; count < 4; count += 1)
      t.match(await get('scopes', again), { status: 403, code: 'FORBIDDEN' })
  })
}

for (const scope of ['exact', 'leased', 'local'] as const) {
  t.test(`${scope}: one user is counted by each limit for itself, whichever was asked before`, async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const of = (qps: number) => ({ limit: { qps, slack: 2, by: 'subject', scope } })
    const { login, get } = await start(
      t,
      { one: of(0.01), two: of(0.02), session: { ...of(0.01), auth: strict } },
      redis
    )
    const tokens = [await login(), await login()]
    for (const path of ['one', 'two', 'session', 'one', 'two', 'session', 'two', 'one', 'session']) {
      for (const token of tokens) await get(path, token)
    }
    for (const path of ['one', 'two', 'session'])
      t.match(await get(path, tokens[0]!), { status: 429 }, `${path} had six`)
    const other = await login('other')
    for (const path of ['one', 'two', 'session']) t.match(await get(path, other), { status: 200 }, path)
  })
}

t.test('a session that is gone from the store alone is refused, and nothing is counted', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const { login, get } = await start(t, { one: { auth: strict, limit } }, redis)
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  const [token, again] = [await login(), await login()]
  t.match(await get('one', token), { status: 200, left: 99 })
  const [key = ''] = (await client.keys('toll:*')).filter((name) => name.endsWith(`:s:${sessionOf(token)}`))
  t.equal(await client.del(key), 1)
  t.match(await get('one', token), { status: 401, left: undefined })
  t.match(await get('one', again), { status: 200, left: 98 })
})

t.test('without the store the session is not known, whatever the limit would do', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const { login, get } = await start(t, { one: { auth: strict, limit } }, redis)
  const token = await login()
  t.equal((await get('one', token)).status, 200)
  redis.pause()
  for (let count = 0; count < 3; count += 1)
    t.match(await get('one', token), { status: 503, code: 'STORE_UNAVAILABLE' })
  redis.resume()
  await eventually('both are known again', async () => (await get('one', token)).status === 200, 5000)
})

t.test("nothing is counted for another page that sends a user's cookies", async (t) => {
  const auth = { ...strict, credentials: ['cookie'] }
  const { origin } = await start(t, { one: { auth, limit, methods: ['GET', 'POST'] } }, undefined, {
    auth: { users, cookie: {} }
  })
  const page = new Browser(origin)
  await page.signIn()
  const left = async (method: string, headers: Record<string, string> = {}) => {
    const answer = await page.ask(method, '/one', { headers })
    return [answer.status, /;r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1]]
  }
  t.same(await left('GET'), [200, '99'])
  t.same(await left('POST', { 'sec-fetch-site': 'cross-site', 'x-csrf-token': 'of-nobody' }), [
    403,
    undefined
  ])
  t.same(await left('GET'), [200, '98'])
})
