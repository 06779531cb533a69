import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { eventually } from '../support/own-process.ts'
import { startRedis } from '../support/redis.ts'
import { exchange, httpUpstream, listen } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const files = {
  'users.json': await usersFile({
    kesa: { password: '123', scopes: ['orders:read', 'b'] },
    root: { password: '123', scopes: ['admin'] }
  })
}
const users = { driver: 'file', path: 'users.json' }

type Config = Record<string, unknown>

async function start(t: Test, { routes, ...more }: Config & { routes: Config[] }) {
  const upstream = await httpUpstream(t, ({ headers }, response) =>
    response.end(headers['x-user-id'] ?? 'nobody')
  )
  const gateway = await startGateway(
    t,
    {
      auth: { users },
      services: { app: { nodes: [upstream.url] } },
      routes: routes.map((route) => ({ id: String(route.path).split('/')[1], service: 'app', ...route })),
      ...more
    },
    { files }
  )
  const login = async (username = 'kesa'): Promise<string> => {
    const answer = await ask('POST', `${gateway.origin}/auth/login`, { json: { username, password: '123' } })
    return String(answer.body.access_token)
  }
  const get = (path: string, token?: string) =>
    ask('GET', gateway.origin + path, token === undefined ? {} : { token })
  return { ...gateway, upstream, login, get }
}

t.test('a route says whether a token is needed; one that says nothing needs it', async (t) => {
  const { get, login, upstream } = await start(t, {
    routes: [
      { path: '/none', auth: 'none' },
      { path: '/optional', auth: 'optional' },
      { path: '/required', auth: 'required' },
      { path: '/silent' },
      { path: '/detail', auth: {} }
    ]
  })
  const token = await login()
  // With a token everybody knows who asks, except where nobody looks.
  t.match(await get('/none', token), { status: 200, text: 'nobody' })
  for (const path of ['/optional', '/required', '/silent', '/detail']) {
    t.match(await get(path, token), { status: 200, text: 'kesa' }, path)
  }
  // Without one.
  t.match(await get('/none'), { status: 200, text: 'nobody' })
  t.match(await get('/optional'), { status: 200, text: 'nobody' })
  const before = upstream.requests.length
  for (const path of ['/required', '/silent', '/detail']) {
    const refused = await get(path)
    t.match(refused, { status: 401, body: { code: 'UNAUTHENTICATED' } }, path)
    t.equal(refused.headers.get('www-authenticate'), 'Bearer realm="tollkeeper"')
  }
  // With a bad one: refused wherever one is looked at, also where none is needed.
  t.match(await get('/none', 'x.y.z'), { status: 200 })
  for (const path of ['/optional', '/required', '/silent', '/detail']) {
    const refused = await get(path, `${token}x`)
    t.equal(refused.status, 401, path)
    t.equal(refused.headers.get('www-authenticate'), 'Bearer realm="tollkeeper", error="invalid_token"')
  }
  t.equal(upstream.requests.length, before + 1, 'nothing refused reached the upstream')
})

t.test('without the key auth nobody passes a route that needs a token', async (t) => {
  const { get, log } = await start(t, {
    auth: undefined,
    routes: [{ path: '/silent' }, { path: '/none', auth: 'none' }]
  })
  t.equal((await get('/silent')).status, 401)
  t.equal((await get('/silent', 'a.b.c')).status, 401)
  t.equal((await get('/none')).status, 200)
  t.equal((await get('/auth/login')).status, 404)
  t.ok(log().some(({ level, msg }) => level === 'warn' && String(msg).includes('"silent"')))
})

t.test('two Authorization headers are refused, whatever they hold', async (t) => {
  const { origin, admin, directory, login, upstream } = await start(t, { routes: [{ path: '/required' }] })
  const token = await login()
  const { port } = new URL(origin)
  for (const [first, second] of [
    [`Bearer ${token}`, `Bearer ${token}`],
    [`Bearer ${token}`, 'Basic eA=='],
    ['Basic eA==', `Bearer ${token}`]
  ]) {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(
      `GET /required HTTP/1.1\r\nHost: x\r\nAuthorization: ${first}\r\nauthorization: ${second}\r\nConnection: close\r\n\r\n`
    )
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    await once(socket, 'close')
    t.match(Buffer.concat(chunks).toString(), /^HTTP\/1\.1 400 /)
  }
  t.equal(upstream.requests.length, 0)
  const adminToken = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  const askTwice = (header: string) =>
    exchange(
      admin,
      `GET /admin/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${adminToken}\r\n${header}Connection: close\r\n\r\n`
    )
  t.match(await askTwice(''), /^HTTP\/1\.1 200 /)
  t.match(
    await askTwice(`Authorization: Bearer ${token}\r\n`),
    /^HTTP\/1\.1 400 /,
    'nor at the admin listener'
  )
  for (const scheme of ['bearer', 'BEARER']) {
    const answer = await ask('GET', `${origin}/required`, {
      headers: { authorization: `${scheme} ${token}` }
    })
    t.equal(answer.status, 200, 'the scheme has no case')
  }
  for (const value of ['Bearer', 'Bearer ', `Bearer  ${token}`, `Bearer ${token}, Bearer ${token}`]) {
    const answer = await ask('GET', `${origin}/required`, { headers: { authorization: value } })
    t.equal(answer.status, 401, value.slice(0, 10))
  }
})

t.test('scopes of a route: all of them, or 403 that names them', async (t) => {
  const { get, login } = await start(t, {
    routes: [
      { path: '/read', auth: { scopes: ['orders:read'] } },
      { path: '/both', auth: { scopes: ['orders:read', 'b'] } },
      { path: '/write', auth: { scopes: ['orders:read', 'orders:write'] } },
      { path: '/maybe', auth: { mode: 'optional', scopes: ['orders:read'] } }
    ]
  })
  const token = await login()
  for (const path of ['/read', '/both', '/maybe']) t.equal((await get(path, token)).status, 200, path)
  const refused = await get('/write', token)
  t.match(refused, { status: 403, body: { code: 'FORBIDDEN' } })
  t.equal(
    refused.headers.get('www-authenticate'),
    'Bearer realm="tollkeeper", error="insufficient_scope", scope="orders:read orders:write"'
  )
  t.equal((await get('/maybe')).status, 401)
})

t.test("the audience is the route's", async (t) => {
  const { get, login } = await start(t, {
    routes: [{ path: '/ours' }, { path: '/theirs', auth: { audience: 'other' } }]
  })
  const token = await login()
  t.equal((await get('/ours', token)).status, 200)
  t.equal((await get('/theirs', token)).status, 401, 'also when the token is known from another route')
})

t.test('stateless passes until exp, revocable and strict end with the session', async (t) => {
  const { get, login, origin } = await start(t, {
    routes: [
      { path: '/stateless', auth: { session: 'stateless' } },
      { path: '/revocable', auth: { session: 'revocable' } },
      { path: '/strict', auth: { session: 'strict' } }
    ]
  })
  const token = await login()
  for (const path of ['/stateless', '/revocable', '/strict'])
    t.equal((await get(path, token)).status, 200, path)
  t.equal((await ask('POST', `${origin}/auth/logout`, { token })).status, 204)
  // What is under way in the moment of the logout ends with the session, whatever the route.
  await eventually('stateless passes', async () => (await get('/stateless', token)).status === 200)
  t.equal((await get('/revocable', token)).status, 401)
  t.equal((await get('/strict', token)).status, 401)
})

t.test(
  'strict asks the store at every request: 503 without it, and 401 when the session is gone',
  async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const { get, login } = await start(t, {
      store: { driver: 'redis', url: redis.url },
      routes: [{ path: '/revocable' }, { path: '/strict', auth: { session: 'strict' } }]
    })
    const token = await login()
    t.equal((await get('/strict', token)).status, 200)
    redis.pause()
    const refused = await get('/strict', token)
    t.match(refused, { status: 503, body: { code: 'STORE_UNAVAILABLE' } })
    t.equal(refused.headers.get('retry-after'), '1')
    t.equal((await get('/revocable', token)).status, 200)
    redis.resume()
    await redis.kill()
    await redis.restart()
    const deadline = Date.now() + 5000
    let status = 503
    while (status === 503 && Date.now() < deadline) status = (await get('/strict', token)).status
    t.equal(status, 401, 'no session in the store: the token is void')
    t.equal((await get('/revocable', token)).status, 200)
  }
)

t.test('a revocable route costs no store call, a strict one costs one', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const { get, login } = await start(t, {
    store: { driver: 'redis', url: redis.url, timeout: '2s' },
    routes: [{ path: '/revocable' }, { path: '/strict', auth: { session: 'strict' } }]
  })
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  const scripts = async (): Promise<number> => {
    const calls = (await client.info('commandstats')).matchAll(
      /^cmdstat_(?:evalsha|eval|exists|get|hmget):calls=(\d+)/gm
    )
    return [...calls].reduce((sum, [, count]) => sum + Number(count), 0)
  }
  const token = await login()
  const before = await scripts()
  for (let round = 0; round < 50; round += 1) await get('/revocable', token)
  t.equal(await scripts(), before)
  for (let round = 0; round < 50; round += 1) await get('/strict', token)
  t.ok((await scripts()) >= before + 50)
})

t.test('a WebSocket is opened for who may use its route, and for nobody else', async (t) => {
  const upstream = createServer()
  const echo = new WebSocketServer({ server: upstream })
  echo.on('connection', (socket, { headers }) => socket.send(String(headers['x-user-id'])))
  t.teardown(() => echo.close())
  const port = await listen(t, upstream)
  const { origin, login } = await start(t, {
    services: { app: { nodes: [`http://127.0.0.1:${port}`] } },
    routes: [{ path: '/ws' }]
  })
  const open = (token?: string): Promise<string> =>
    new Promise((resolve) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
      const socket = new WebSocket(`${origin.replace('http', 'ws')}/ws`, { headers })
      socket.once('message', (data) => {
        resolve(String(data))
        socket.terminate()
      })
      socket.once('unexpected-response', (_request, { statusCode }) => resolve(String(statusCode)))
      socket.on('error', () => {})
    })
  const token = await login()
  t.equal(await open(token), 'kesa')
  t.equal(await open(), '401')
  t.equal(await open(`${token}x`), '401')
  await ask('POST', `${origin}/auth/logout`, { token })
  t.equal(await open(token), '401')
})

t.test('rules: what none grants is denied wherever a token is looked at', async (t) => {
  const { get, login } = await start(t, {
    routes: [
      { path: '/open', auth: 'none' },
      { path: '/shop/*', auth: 'optional' },
      { path: '/admin/*' },
      { path: '/else' }
    ],
    rules: [
      { id: 'shop', scope: '', resource: 'service:app:/shop/*', access: 'granted' },
      { id: 'no-stock', scope: '*', resource: 'service:app:/shop/stock', access: 'denied' },
      {
        id: 'admins',
        scope: 'admin',
        resource: { type: 'service', name: '*', endpoint: '/admin/*' },
        priority: 10
      }
    ]
  })
  const [kesa, root] = [await login(), await login('root')]
  t.equal((await get('/open')).status, 200)
  t.equal((await get('/shop/lamp')).status, 200)
  t.equal((await get('/shop/lamp', kesa)).status, 200)
  t.match(
    await get('/shop/stock', kesa),
    { status: 403, body: { code: 'FORBIDDEN' } },
    'denied wins among equals'
  )
  t.equal((await get('/admin/x', root)).status, 200)
  t.equal((await get('/admin/x', kesa)).status, 403)
  t.equal((await get('/admin/x')).status, 401)
  t.equal((await get('/else', root)).status, 403, 'no rule speaks of it')
})

t.test('a refusal is logged with its reason, and no token ever is', async (t) => {
  const { get, login, log, origin } = await start(t, { routes: [{ path: '/required' }] })
  const token = await login()
  const [head = '', payload = ''] = token.split('.')
  const forged = Buffer.from(
    JSON.stringify({
      alg: 'HS256',
      typ: 'at+jwt',
      kid: JSON.parse(Buffer.from(head, 'base64url').toString()).kid
    })
  ).toString('base64url')
  const mac = createHmac('sha256', 'x').update(`${forged}.${payload}`).digest('base64url')
  await get('/required')
  await get('/required', 'x')
  await get('/required', `${forged}.${payload}.${mac}`)
  await ask('POST', `${origin}/auth/logout`, { token })
  await get('/required', token)
  const reasons = log()
    .filter(({ path, status }) => path === '/required' && status === 401)
    .map(({ reason }) => reason)
  t.same(reasons, ['missing', 'malformed', 'alg', 'revoked.sid'])
  t.notMatch(JSON.stringify(log()), /eyJ|tlr1\./)
})

t.test('configs that would lock a door are refused', async (t) => {
  const refused = (config: Config) => t.rejects(startGateway(t, config, { files }), { name: 'ConfigError' })
  await refused({ auth: { users, paths: { login: '/x', logout: '/x' } } })
  for (const logout of ['/./out', '/a/../out', '/out/..'])
    await refused({ auth: { users, paths: { logout } } })
  await refused({
    auth: { users },
    services: { app: { nodes: ['http://127.0.0.1:9'] } },
    routes: [{ id: 'a', path: '/auth/login', service: 'app' }]
  })
  await refused({ auth: { users, issuer: '' } })
  await refused({ auth: { users, acess: '15m' } })
  await t.rejects(startGateway(t, { auth: { users: { driver: 'file', path: 'none.json' } } }, { files }), {
    message: /none\.json is missing; "toll user add NAME" makes it\./
  })
  await t.rejects(startGateway(t, { auth: { users, idle: '0s' } }, { files }), { message: /auth\.idle/ })
})

t.test("the contract's example of auth is taken as it stands", async (t) => {
  const auth = {
    issuer: 'https://gw.example',
    audience: 'api',
    access: '15m',
    refresh: '7d',
    idle: '30m',
    users: { driver: 'file', path: 'users.json' },
    keys: { path: '.toll/keys.json' }
  }
  const rules = [
    { id: 'admins', scope: 'admin', resource: 'service:*:/admin/*', access: 'granted', priority: 10 }
  ]
  const { get, login } = await start(t, { auth, rules, routes: [{ path: '/admin/*', auth: 'required' }] })
  t.equal((await get('/admin/x', await login('root'))).status, 200)
})
