import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { Browser } from '../support/browser.ts'
import { type Answer, ask } from '../support/client.ts'
import { type StartedGateway, startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { runToll, runTollIn } from '../support/running.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ alice: { password: 'a' }, bob: { password: 'b', scopes: ['x'] } })
const redis = await startRedis()
t.teardown(() => redis.stop())
const up = await httpUpstream(t, ({ headers }, response) => response.end(JSON.stringify(headers)))
const admin = { token: 'a-token-for-the-administrator' }

/** A plugin by somebody else, who knows @fastify/jwt and nothing of this gateway. */
const plugin = `
export default {
  key: 'own',
  setup: () => ({ id }) => {
    if (id !== 'open') return undefined
    return async (request, reply) => {
      reply.header('x-verified', (await request.jwtVerify()).sub)
      reply.header('x-user', request.user.sub)
    }
  }
}`

const config = (keyPath: string, signing: string, store: object) => ({
  store,
  auth: {
    users: { driver: 'file', path: 'users.json' },
    keys: { path: keyPath },
    cookie: {},
    signing
  },
  admin,
  services: { app: { nodes: [up.url] } },
  routes: [
    { id: 'app', path: '/app', service: 'app', auth: { assertion: true } },
    { id: 'stateless', path: '/stateless', service: 'app', auth: { session: 'stateless' } },
    { id: 'page', path: '/page', service: 'app', auth: { credentials: ['cookie'] } },
    { id: 'open', path: '/open', service: 'app', auth: 'none' }
  ],
  plugins: [{ use: './own.mjs', after: 'auth' }]
})
const ofRedis = { driver: 'redis', url: redis.url, timeout: '2s' }
const files = { 'users.json': users, 'own.mjs': plugin }

function keyPathOf(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-per-user-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'keys.json')
}

const start = (t: Test, keyPath: string, signing = 'per-user', store: object = ofRedis) =>
  startGateway(t, config(keyPath, signing, store), { files })

const login = async ({ origin }: StartedGateway, username = 'alice'): Promise<Record<string, string>> => {
  const { body } = await ask('POST', `${origin}/auth/login`, {
    json: { username, password: username[0] }
  })
  return body as Record<string, string>
}
const get = ({ origin }: StartedGateway, path: string, token = ''): Promise<Answer> =>
  ask('GET', origin + path, { token })
const kidOf = (jwt = ''): string => decodeProtectedHeader(jwt).kid!

/** Polls until it is so, two seconds at most. */
async function soon(what: () => Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + 2000
  while (Date.now() < deadline) {
    if (await what()) return true
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return false
}

t.test("what ends a user's sessions changes the key, on every node and on every route", async (t) => {
  const keyPath = keyPathOf(t)
  const [a, b] = [await start(t, keyPath), await start(t, keyPath)]
  const [alice, bob] = [await login(a), await login(b, 'bob')]
  t.match(decodeProtectedHeader(alice.access_token!), { alg: 'HS256', typ: 'at+jwt' })
  for (const path of ['/app', '/stateless', '/auth/me']) {
    for (const node of [a, b]) {
      t.equal((await get(node, path, alice.access_token)).status, 200)
      t.equal((await get(node, path, bob.access_token)).status, 200)
    }
  }
  await ask('POST', `${a.origin}/auth/logout-all`, { token: alice.access_token! })
  t.equal((await get(a, '/stateless', alice.access_token)).status, 401)
  t.ok(await soon(async () => (await get(b, '/stateless', alice.access_token)).status === 401))
  t.ok(b.log().some(({ reason }) => reason === 'revoked.epoch'))
  t.equal((await get(b, '/app', alice.access_token)).status, 401)
  const again = await login(b)
  for (const node of [a, b]) {
    t.equal((await get(node, '/stateless', again.access_token)).status, 200, 'in the same second')
    t.equal((await get(node, '/stateless', bob.access_token)).status, 200)
  }
  const { body } = await ask('POST', `${a.origin}/auth/refresh`, {
    json: { refresh_token: again.refresh_token }
  })
  t.equal((await get(b, '/app', String(body.access_token))).status, 200)
})

t.test('no name in a forged token is more than a wrong signature', async (t) => {
  const node = await start(t, keyPathOf(t))
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  const { access_token: token = '' } = await login(node)
  const [head, payload, signature] = token.split('.') as [string, string, string]
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
  // The answer of a good token first, so that whatever its own use leaves in the store is there.
  t.equal((await get(node, '/app', token)).status, 200)
  const before = new Set(await client.keys('*'))
  const subs = ['bob', '../x', 'nobody', 'x'.repeat(5000), 'a\0b', 7, ['alice'], { a: 1 }, null, '{tag}', '*']
  for (const sub of subs) {
    for (const change of [{ sub }, { sub, ep: -1 }, { sub, ep: 2 ** 60 }]) {
      const forged = Buffer.from(JSON.stringify({ ...claims, ...change })).toString('base64url')
      for (const path of ['/app', '/open', '/stateless']) {
        const answer = await get(node, path, `${head}.${forged}.${signature}`)
        t.equal(answer.status, 401, `${path} ${JSON.stringify(change).slice(0, 40)}`)
      }
    }
  }
  const named = (await client.keys('*')).filter((key) => !before.has(key))
  t.same(named, [], 'no store key came to be')
  const reasons = new Set(node.log().map(({ reason }) => reason))
  t.ok(reasons.has('signature') && reasons.has('payload'))
  t.equal((await get(node, '/app', token)).status, 200)
})

t.test('services verify assertions by the shared key; the master secret is nowhere to be seen', async (t) => {
  const keyPath = keyPathOf(t)
  const node = await start(t, keyPath)
  const { access_token: token = '' } = await login(node)
  const master = (
    JSON.parse(readFileSync(keyPath, 'utf8')) as { keys: { kid: string; k: string; use: string }[] }
  ).keys.find(({ use }) => use === 'per-user')!
  t.equal(kidOf(token), master.kid)
  const jwks = await get(node, '/.well-known/jwks.json')
  t.notMatch(jwks.text, master.kid)
  t.equal((jwks.body.keys as []).length, 1)
  const seen = JSON.parse((await get(node, '/app', token)).text) as Record<string, string>
  const { payload, protectedHeader } = await jwtVerify(
    seen['x-gateway-assertion']!,
    createRemoteJWKSet(new URL(`${node.origin}/.well-known/jwks.json`)),
    { audience: 'app' }
  )
  t.match({ ...payload, ...protectedHeader }, { sub: 'alice', alg: 'ES256' })
  // 1. Plugins that know @fastify/jwt only.
  const verified = await get(node, '/open', token)
  t.match(
    [verified.status, verified.headers.get('x-verified'), verified.headers.get('x-user')],
    [200, 'alice', 'alice']
  )
  t.equal((await get(node, '/open', `${token.slice(0, -1)}${token.endsWith('A') ? 'E' : 'A'}`)).status, 401)
  // 2. Pages, whose marks against requests of other pages are by another key.
  const page = new Browser(node.origin)
  t.match(await page.signIn('alice', 'a'), { status: 200, body: { csrf_token: /./ } })
  t.equal((await page.ask('GET', '/page')).status, 200)
  // 3. Whoever runs the gateway sees what kind a token is, and no secret.
  const explained = await ask('POST', `${node.admin}/admin/explain`, {
    token: admin.token,
    json: { method: 'GET', url: '/app', headers: { authorization: `Bearer ${token}` } }
  })
  t.match(explained.text, '"signing":"per-user"')
  const keys = await ask('GET', `${node.admin}/admin/keys`, { token: admin.token })
  t.match(
    (keys.body.keys as { kid: string }[]).find(({ kid }) => kid === master.kid),
    { use: 'per-user', alg: 'HS256', state: 'active' }
  )
  for (const { text } of [keys, explained]) t.notMatch(text, master.k)
})

t.test('a revoked master secret: all tokens are void at once, and another one signs', async (t) => {
  const keyPath = keyPathOf(t)
  const [a, b] = [await start(t, keyPath), await start(t, keyPath)]
  const [alice, bob] = [await login(a), await login(b, 'bob')]
  const kid = kidOf(alice.access_token)
  const answer = await ask('DELETE', `${a.admin}/admin/keys/${kid}`, { token: admin.token })
  t.match(answer, { status: 200, body: { kid, propagated: true, written: true } })
  for (const { access_token: token } of [alice, bob]) {
    t.equal((await get(a, '/stateless', token)).status, 401)
    t.ok(await soon(async () => (await get(b, '/stateless', token)).status === 401))
  }
  const { body } = await ask('POST', `${b.origin}/auth/refresh`, {
    json: { refresh_token: bob.refresh_token }
  })
  t.not(kidOf(String(body.access_token)), kid)
  for (const node of [a, b]) t.equal((await get(node, '/app', String(body.access_token))).status, 200)
})

t.test('a reload with the other kind refuses nobody who has a token', async (t) => {
  const keyPath = keyPathOf(t)
  const node = await start(t, keyPath, 'shared')
  const shared = await login(node)
  t.equal(decodeProtectedHeader(shared.access_token!).alg, 'ES256')
  t.match(await node.reconfigure(config(keyPath, 'per-user', ofRedis)), { outcome: 'applied' })
  const own = await login(node)
  t.equal(decodeProtectedHeader(own.access_token!).alg, 'HS256')
  for (const { access_token: token } of [shared, own]) t.equal((await get(node, '/app', token)).status, 200)
  t.match(await node.reconfigure(config(keyPath, 'shared', ofRedis)), { outcome: 'applied' })
  for (const { access_token: token } of [shared, own]) t.equal((await get(node, '/app', token)).status, 200)
  t.equal(decodeProtectedHeader((await login(node)).access_token!).alg, 'ES256')
  // Until their key is not in force any more.
  await ask('DELETE', `${node.admin}/admin/keys/${kidOf(own.access_token)}`, { token: admin.token })
  t.equal((await get(node, '/app', own.access_token)).status, 401)
  t.equal((await get(node, '/app', shared.access_token)).status, 200)
})

t.test('toll key makes, shows and rotates the master secret', async (t) => {
  const first = runToll(t, ['key', 'rotate'], {
    'gateway.config.json': JSON.stringify({ auth: { signing: 'per-user' }, routes: [] })
  })
  t.equal(await first.ended, 0)
  const toll = async (...args: string[]): Promise<string> => {
    const run = runTollIn(t, first.directory, args)
    t.equal(await run.ended, 0)
    return run.output.out
  }
  t.match(await toll('key', 'ls'), /\tper-user\tHS256\tactive/)
  await toll('key', 'rotate', '--ahead', '10m')
  const states = (JSON.parse(await toll('key', 'ls', '--json')) as { use: string; state: string }[])
    .filter(({ use }) => use === 'per-user')
    .map(({ state }) => state)
  t.same(states, ['active', 'next'])
})
