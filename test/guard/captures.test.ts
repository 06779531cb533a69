import t, { type Test } from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { httpUpstream } from '../support/upstream.ts'
import { browsers } from './browsers.ts'
import { type Capture, replay } from './replay.ts'
import { scanners } from './scanners.ts'

const token = 'an-admin-token-of-some-length'
const auth = { issuer: 'https://gw.example', audience: 'api', users: { driver: 'file', path: 'users.json' } }

/** A gateway that watches: /ok is answered, /gone is not there, /denied asks for a session at the service, /private for a token. */
async function watching(t: Test, guard: object = {}, store?: unknown) {
  const { url } = await httpUpstream(t, ({ url: path = '' }, response) => {
    response.statusCode = path.startsWith('/ok') ? 200 : path.startsWith('/denied') ? 401 : 404
    response.end('{}')
  })
  const open = { service: 'a', auth: 'none' }
  const started = await startGateway(
    t,
    {
      ...(store !== undefined && { store }),
      admin: { token },
      auth,
      guard: { trustedProxies: ['127.0.0.1'], detect: {}, ...guard },
      services: { a: { nodes: [url] } },
      routes: [
        { id: 'ok', path: '/ok/*', ...open },
        { id: 'gone', path: '/gone/*', ...open },
        { id: 'denied', path: '/denied/*', ...open },
        { id: 'private', path: '/private/*', service: 'a' }
      ]
    },
    { files: { 'users.json': '{"users":{}}' } }
  )
  const port = Number(new URL(started.origin).port)
  const bans = async () => {
    const { body } = await ask('GET', `${started.admin}/admin/bans?limit=1000`, { token })
    return body.bans as readonly { network: string; reason: string; evidence: Record<string, number> }[]
  }
  return { ...started, port, bans }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Plays captures, each from a client of its own, and returns which of them were shut out. */
async function flagged(
  { port, bans }: Awaited<ReturnType<typeof watching>>,
  captures: readonly Capture[],
  network: string
): Promise<ReadonlyMap<string, string>> {
  for (const [index, capture] of captures.entries()) await replay(port, `${network}.${index + 1}`, capture)
  await pause(500)
  const shut = new Map((await bans()).map((ban) => [ban.network, JSON.stringify(ban.evidence)]))
  return new Map(
    captures.flatMap(({ name }, index) => {
      const why = shut.get(`${network}.${index + 1}`)
      return why === undefined ? [] : [[name, why] as const]
    })
  )
}

t.test('of thirty scanners all but two at most are shut out, and of thirty-one browsers none', async (t) => {
  const gateway = await watching(t)
  t.equal(scanners.length, 30)
  t.equal(browsers.length, 31)
  const caught = await flagged(gateway, scanners, '198.51.100')
  const missed = scanners.map(({ name }) => name).filter((name) => !caught.has(name))
  t.ok(caught.size >= 28, `${caught.size}; not ${missed.join(', ')}`)
  const wronged = await flagged(gateway, browsers, '192.0.2')
  t.same([...wronged], [])
})

t.test('in a dry run nobody is shut out, and the log says who would be', async (t) => {
  const gateway = await watching(t, { ban: { dryRun: true } })
  t.equal((await flagged(gateway, scanners.slice(0, 6), '198.51.100')).size, 0)
  const told = gateway.log().filter(({ msg }) => String(msg).startsWith('would ban a client'))
  t.equal(new Set(told.map(({ network }) => network)).size, 6)
})

const login = (origin: string, client: string) =>
  ask('POST', `${origin}/auth/login`, {
    json: { username: 'ann', password: 'a wrong one' },
    headers: { 'x-forwarded-for': client }
  })

t.test('twelve bad sign-ins shut their client out at both gateways, wherever they were made', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = { driver: 'redis', url: redis.url, timeout: '2s' }
  const guard = { allow: ['203.0.113.7'] }
  const [one, two] = [await watching(t, guard, store), await watching(t, guard, store)]
  const isShut = async (gateway: typeof one, client: string) =>
    (await ask('GET', `${gateway.origin}/ok/`, { headers: { 'x-forwarded-for': client } })).status === 403
  const untilShut = async (gateway: typeof one, client: string) => {
    for (let attempt = 0; attempt < 100; attempt += 1) {
      if (await isShut(gateway, client)) return true
      await pause(10)
    }
    return false
  }
  // 1. all at one gateway
  for (let index = 0; index < 12; index += 1) await login(one.origin, '198.51.100.1')
  t.ok(await untilShut(one, '198.51.100.1'))
  t.ok(await untilShut(two, '198.51.100.1'))
  t.match((await two.bans())[0], { reason: 'score', by: 'automatic', evidence: { login: Number } })
  // 2. half at each
  for (let index = 0; index < 6; index += 1) {
    await login(one.origin, '198.51.100.2')
    await login(two.origin, '198.51.100.2')
  }
  t.ok(await untilShut(one, '198.51.100.2'))
  t.ok(await untilShut(two, '198.51.100.2'))
  // 3. let in again at once, and not shut out again for what is past
  await ask('DELETE', `${one.admin}/admin/bans/198.51.100.2`, { token })
  t.notOk(await isShut(one, '198.51.100.2'))
  await login(one.origin, '198.51.100.2')
  await pause(300)
  t.notOk(await isShut(one, '198.51.100.2'))
  // 4. whoever is allowed is left alone, as is a client with three
  for (let index = 0; index < 12; index += 1) await login(one.origin, '203.0.113.7')
  for (let index = 0; index < 3; index += 1) await login(one.origin, '198.51.100.3')
  await pause(300)
  t.notOk(await isShut(one, '203.0.113.7'))
  t.notOk(await isShut(two, '198.51.100.3'))
})

t.test('a header from an untrusted peer shifts no blame: the peer is shut out', async (t) => {
  const gateway = await watching(t, { trustedProxies: [] })
  for (let index = 0; index < 12; index += 1) await login(gateway.origin, `198.51.100.${index}`)
  await pause(300)
  t.same(
    (await gateway.bans()).map(({ network }) => network),
    ['127.0.0.1']
  )
  t.equal((await ask('GET', `${gateway.origin}/ok/`)).status, 403)
})

t.test('what the rules refuse', async (t) => {
  const { origin } = await watching(t, {
    detect: undefined,
    headers: {
      require: ['accept'],
      forbid: [{ name: 'x-debug' }, { name: 'x-mode', match: '^(old|older)$' }],
      maxValue: 100
    },
    userAgents: { deny: ['curl', '^$'], allow: ['curl/8'] },
    paths: { deny: ['/internal(/|$)'] }
  })
  const status = async (path: string, headers: Record<string, string>) =>
    (await ask('GET', origin + path, { headers: { 'user-agent': 'x', ...headers } })).status
  t.equal(await status('/ok/', {}), 200)
  t.equal(await status('/ok/', { 'x-debug': '1' }), 400)
  t.equal(await status('/ok/', { 'x-mode': 'OLD' }), 400)
  t.equal(await status('/ok/', { 'x-mode': 'new' }), 200)
  t.equal(await status('/ok/', { 'x-long': 'a'.repeat(101) }), 431)
  t.equal(await status('/ok/', { 'user-agent': 'curl/7.1' }), 403)
  t.equal(await status('/ok/', { 'user-agent': 'curl/8.1' }), 200)
  t.equal(await status('/ok/internal', {}), 403)
  t.equal(await status('/ok/int%65rnal/x', {}), 403, 'the normalised path counts')
  t.equal(await status('/ok/internals', {}), 200)
})
