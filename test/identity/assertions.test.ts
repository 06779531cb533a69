import { join } from 'node:path'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import t from 'tap'
import { Assertions } from '../../services/identity/assertions.ts'
import { KeyRing } from '../../services/identity/keys/key-ring.ts'
import type { Holder } from '../../services/identity/parts.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ kesa: { password: '123', scopes: ['a', 'b'], roles: ['admin'] } })

t.test(
  'a service verifies who is asking with the public keys of the gateway, and nobody else can use it',
  async (t) => {
    const up = await httpUpstream(t, ({ headers }, response) => response.end(JSON.stringify(headers)))
    const { origin } = await startGateway(
      t,
      {
        store: { driver: 'embedded', path: 'store' },
        auth: { users: { path: 'users.json' }, assertion: { header: 'x-signed-user', ttl: '30s' } },
        services: { orders: { nodes: [up.url] }, stock: { nodes: [up.url] }, api: { nodes: [up.url] } },
        routes: [
          { id: 'orders', path: '/orders', service: 'orders', auth: { assertion: true } },
          { id: 'stock', path: '/stock', service: 'stock', auth: { mode: 'optional', assertion: true } },
          { id: 'api', path: '/api', service: 'api', auth: { assertion: true } },
          { id: 'plain', path: '/plain', service: 'orders' },
          { id: 'open', path: '/open', service: 'orders', auth: 'none' }
        ]
      },
      { files: { 'users.json': users } }
    )
    const { body } = await ask('POST', `${origin}/auth/login`, {
      json: { username: 'kesa', password: '123' }
    })
    const token = String(body.access_token)
    const seen = async (path: string, sent: Record<string, string> = {}, isAnonymous = false) => {
      const headers = { ...sent, ...(!isAnonymous && { authorization: `Bearer ${token}` }) }
      const { text, status } = await ask('GET', origin + path, { headers })
      t.equal(status, 200)
      return JSON.parse(text) as Record<string, string | undefined>
    }
    const keys = createRemoteJWKSet(new URL(`${origin}/.well-known/jwks.json`))
    const verify = (jwt: string | undefined, audience: string) =>
      jwtVerify(jwt!, keys, { issuer: 'tollkeeper', audience, typ: 'gateway-assertion+jwt' })

    // 1. It says what the plain headers say, for one service, for half a minute.
    const headers = await seen('/orders', { 'x-signed-user': 'forged', X_Signed_User: 'forged' })
    const { payload } = await verify(headers['x-signed-user'], 'orders')
    t.match(payload, {
      sub: 'kesa',
      aud: 'orders',
      sid: String(body.session),
      scope: 'a b',
      roles: ['admin']
    })
    t.equal(payload.exp! - payload.iat!, 30)
    t.equal(headers['x-user-id'], 'kesa')
    t.equal(headers.authorization, undefined)
    // 2. The same again for the same caller; another for another service.
    t.equal((await seen('/orders'))['x-signed-user'], headers['x-signed-user'])
    const other = (await seen('/stock'))['x-signed-user']
    await verify(other, 'stock')
    await t.rejects(verify(other, 'orders'))
    await t.rejects(jwtVerify(token, keys, { audience: 'orders', typ: 'gateway-assertion+jwt' }))
    // 3. The gateway does not take one, also where the service is called as its own audience is.
    for (const path of ['/orders', '/stock', '/api']) {
      for (const service of ['orders', 'stock', 'api']) {
        const assertion = (await seen(`/${service}`))['x-signed-user']!
        t.equal((await ask('GET', origin + path, { token: assertion })).status, 401)
      }
    }
    // 4. Only where a route says so, and only about somebody.
    t.equal((await seen('/plain', { 'x-signed-user': 'forged' }))['x-signed-user'], undefined)
    t.equal((await seen('/open', { 'x-signed-user': 'forged' }))['x-signed-user'], undefined)
    t.equal((await seen('/stock', { 'x-signed-user': 'forged' }, true))['x-signed-user'], undefined)
    // 5. Whoever is signed out gets none.
    await ask('POST', `${origin}/auth/logout`, { token })
    const before = up.requests.length
    t.equal((await ask('GET', `${origin}/orders`, { token })).status, 401)
    t.equal(up.requests.length, before)
  }
)

t.test('one is given out again for half its life, never beyond its token or its key', async (t) => {
  let now = Date.parse('2030-01-01T00:00:00Z')
  const path = join(t.testdir(), 'keys.json')
  const ring = await KeyRing.open(path, { now: () => now })
  const later = join(t.testdir({ more: {} }), 'more/keys.json')
  const next = await KeyRing.open(later, { now: () => now })
  t.teardown(() => {
    ring.close()
    next.close()
  })
  let active = ring
  const keys = {
    active: () => active.active(),
    sign: (claims: object, options: { typ: string }) => active.sign(claims, options)
  }
  const assertions = new Assertions(keys, { issuer: 'gw', ttl: 60, now: () => now })
  const holder = (claims: object): Holder =>
    Object.freeze({ subject: 'kesa', session: undefined, scopes: [], isOwn: true, claims: { ...claims } })
  const second = now / 1000
  const long = holder({ exp: second + 900 })
  const claimsOf = (jwt: string) =>
    JSON.parse(Buffer.from(jwt.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>

  const first = assertions.of(long, 'orders')
  t.same(claimsOf(first), { iss: 'gw', sub: 'kesa', aud: 'orders', iat: second, exp: second + 60, scope: '' })
  now += 29_000
  t.equal(assertions.of(long, 'orders'), first)
  now += 2000
  const renewed = assertions.of(long, 'orders')
  t.equal(claimsOf(renewed).exp, second + 31 + 60)
  // Another key signs now: what the old one signed is given out no more.
  active = next
  const rotated = assertions.of(long, 'orders')
  t.equal(decodeProtectedHeader(rotated).kid, next.active().kid)
  t.not(decodeProtectedHeader(renewed).kid, next.active().kid)
  // The end of a token is the end of what it was good for.
  t.equal(claimsOf(assertions.of(holder({ exp: second + 40 }), 'orders')).exp, second + 40)
  t.equal(claimsOf(assertions.of(holder({}), 'orders')).exp, second + 31 + 60)
  t.equal(claimsOf(assertions.of({ ...holder({ iss: 'idp' }), isOwn: false }, 'orders')).origin, 'idp')
})
