import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { addKey } from '../../services/identity/api-keys/key-editing.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { closedPort, httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const directory = mkdtempSync(join(tmpdir(), 'toll-once-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))
writeFileSync(join(directory, 'users.json'), await usersFile({ kesa: { password: '123', scopes: ['a'] } }))
const apiKeys = join(directory, 'api-keys.json')
const apiKey = await addKey(
  apiKeys,
  { owner: 'ci', scopes: [], roles: [], expires: undefined, note: undefined },
  Date.now()
)

const start = async (t: Test, store: object) => {
  const up = await httpUpstream(t, (_request, response) => response.end('done'))
  const gateway = await startGateway(t, {
    store,
    auth: {
      users: { path: join(directory, 'users.json') },
      keys: { path: join(directory, 'keys.json') },
      apiKeys: { path: apiKeys }
    },
    services: { up: { nodes: [up.url] }, gone: { nodes: [`http://127.0.0.1:${await closedPort()}`] } },
    routes: [
      {
        id: 'once',
        path: '/once',
        service: 'up',
        maxBody: '1KiB',
        auth: { oneTime: true, credentials: ['bearer', 'api-key'] }
      },
      { id: 'maybe', path: '/maybe', service: 'up', auth: { mode: 'optional', oneTime: true } },
      { id: 'scoped', path: '/scoped', service: 'up', auth: { oneTime: true, scopes: ['b'] } },
      { id: 'slow', path: '/slow', service: 'up', auth: { oneTime: true }, limit: { qps: 0.1, slack: 0 } },
      { id: 'gone', path: '/gone', service: 'gone', auth: { oneTime: true } },
      { id: 'many', path: '/many', service: 'up' }
    ]
  })
  const get = (path: string, token?: string) =>
    ask('GET', gateway.origin + path, token === undefined ? {} : { token })
  const reasons = () => gateway.log().flatMap(({ reason }) => reason ?? [])
  return { ...gateway, get, reasons, up }
}

async function login(origin: string): Promise<string> {
  const { body } = await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })
  return String(body.access_token)
}

t.test('of a hundred uses at two gateways exactly one passes', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = { driver: 'redis', url: redis.url, timeout: '2s' }
  const [a, b] = [await start(t, store), await start(t, store)]
  const token = await login(a.origin)
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? a : b).get('/once', token))
  )
  t.equal(answers.filter(({ status }) => status === 200).length, 1)
  const refused = answers.filter(({ status }) => status === 401)
  t.equal(refused.length, 99)
  t.match(refused[0]!.headers.get('www-authenticate'), /error="invalid_token"/)
  t.equal([...a.reasons(), ...b.reasons()].filter((reason) => reason === 'replayed').length, 99)
  t.equal(a.up.requests.length + b.up.requests.length, 1)
  // What is remembered is not the token, and for as long as the token could be taken.
  const client = new Redis(redis.url)
  const keys = await client.keys('toll:jti:*')
  t.match(keys, [/^toll:jti:[\w-]{22}:[\w-]{22}$/])
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { exp: number }
  const left = exp * 1000 - Date.now()
  const kept = await client.pttl(keys[0]!)
  t.ok(kept > left && kept < left + 15_000)
  // Where nobody asks for that, the token is as good as before; a refresh brings another one.
  t.equal((await a.get('/many', token)).status, 200)
  client.disconnect()
  // Without the store nobody knows.
  const fresh = await login(a.origin)
  await redis.kill()
  const late = await a.get('/once', fresh)
  t.equal(late.status, 503)
  t.ok(late.headers.get('retry-after'))
  t.equal((await a.get('/many', fresh)).status, 200, 'other routes do not ask')
})

t.test(
  'the embedded store does the same; a refused request keeps the token, a failed one does not',
  async (t) => {
    const { origin, get, reasons } = await start(t, { driver: 'embedded', path: 'store' })
    const token = await login(origin)
    t.equal((await get('/scoped', token)).status, 403)
    t.equal((await get('/slow', await login(origin))).status, 200)
    t.equal((await get('/slow', token)).status, 429)
    t.equal((await get('/nowhere', token)).status, 404)
    const large = { token, json: { padding: 'x'.repeat(2000) } }
    t.equal((await ask('POST', `${origin}/once`, large)).status, 413)
    const answers = await Promise.all(Array.from({ length: 100 }, () => get('/once', token)))
    t.same(
      answers.map(({ status }) => status).filter((status) => status !== 401),
      [200]
    )
    const other = await login(origin)
    t.equal((await get('/gone', other)).status, 502)
    t.equal((await get('/gone', other)).status, 401, 'whether a service acted is not known: no second try')
    t.equal((await get('/maybe')).status, 200)
    t.equal((await get('/maybe', other)).status, 401)
    t.equal((await get('/maybe', await login(origin))).status, 200)
    const key = await ask('GET', `${origin}/once`, { headers: { 'x-api-key': apiKey.text } })
    t.equal(key.status, 401, 'what has no id of its own cannot be used once')
    t.ok(reasons().includes('claims.jti'))
  }
)

t.test('what a service may have seen is never sent to it again', async (t) => {
  const up = await httpUpstream(t, ({ url }, response) => {
    if (url === '/warm') response.end('warm')
    else response.socket?.destroy()
  })
  const gateway = await startGateway(t, {
    auth: { users: { path: join(directory, 'users.json') }, keys: { path: join(directory, 'keys.json') } },
    services: { up: { nodes: [up.url], retry: { attempts: 3 } } },
    routes: [
      { id: 'warm', path: '/warm', service: 'up', auth: 'none' },
      { id: 'once', path: '/once', service: 'up', auth: { oneTime: true } },
      { id: 'often', path: '/often', service: 'up' }
    ]
  })
  const sent = (path: string) => up.requests.filter(({ url }) => url === path).length
  for (const path of ['/once', '/often']) {
    // Over a connection that is open already, as over a new one.
    await ask('GET', `${gateway.origin}/warm`)
    const token = await login(gateway.origin)
    t.equal((await ask('GET', gateway.origin + path, { token })).status, 502)
  }
  t.equal(sent('/once'), 1)
  t.ok(sent('/often') > 1, 'where it does no harm it is')
})
