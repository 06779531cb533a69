import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ask } from '../support/client.ts'
import { seconds, startTarget, withstands } from '../support/forger.ts'
import { startIdentityProvider } from '../support/identity-provider.ts'

/** Issuers that are let in for their own users, and want to be more than that. */
const corp = await startIdentityProvider(t)
const evil = await startIdentityProvider(t)
await evil.addKey('e2')
for (const alg of ['RS256', 'PS256', 'EdDSA', 'ES512']) await corp.addKey(alg.toLowerCase(), alg)
// A set may have keys that make no sense; the others serve on.
for (const odd of [
  { alg: 5 },
  { alg: null },
  { alg: {} },
  { alg: 'constructor' },
  { kty: [] },
  { crv: 7 },
  { x: 1 },
  { use: {} }
]) {
  corp.published.push({ ...corp.publicJwk('k1'), kid: `odd-${JSON.stringify(odd)}`, ...odd } as never)
}
corp.published.push(null as never, 7 as never, [] as never)

const target = await startTarget(
  t,
  {
    any: 'required',
    admins: { scopes: ['admin'] },
    strict: { session: 'strict' },
    own: { issuers: ['own'] },
    recent: { maxAge: '5m' },
    once: { oneTime: true }
  },
  {
    auth: {
      issuers: [
        { name: 'corp', issuer: corp.issuer },
        { name: 'evil', issuer: evil.issuer }
      ],
      cookie: {}
    }
  }
)
const { origin, admin, directory, jwk } = target
const sub = 'kesa'
const now = seconds()
const set = (claims: Record<string, unknown>, header: Record<string, unknown> = {}) =>
  corp.sign(claims, { header })

t.test('a good token of each algorithm passes', async (t) => {
  for (const kid of ['k1', 'rs256', 'ps256', 'eddsa', 'es512']) {
    const { status, answer } = await target.send({ token: await corp.sign({}, { kid }) })
    t.equal(status, 200, kid)
    t.match(answer, /"x-user-id","corp:kesa"/i)
  }
})

const attacks: Record<string, [Promise<string>, string]> = {
  "another issuer's iss": [evil.sign({ iss: corp.issuer }), 'signature'],
  "another issuer's iss, with a key of its own": [evil.sign({ iss: corp.issuer }, { kid: 'e2' }), 'kid'],
  "the gateway's iss": [evil.sign({ iss: 'tollkeeper' }), 'kid.unknown'],
  "the gateway's iss and kid": [evil.sign({ iss: 'tollkeeper' }, { header: { kid: jwk.kid } }), 'signature'],
  'its own iss and the kid of the gateway': [evil.sign({}, { header: { kid: jwk.kid } }), 'signature'],
  'iss with a slash behind': [corp.sign({ iss: `${corp.issuer}/` }), 'issuer.unknown'],
  'iss in capitals': [corp.sign({ iss: corp.issuer.toUpperCase() }), 'issuer.unknown'],
  'iss with another host name': [
    corp.sign({ iss: corp.issuer.replace('127.0.0.1', 'localhost') }),
    'issuer.unknown'
  ],
  'iss as a list': [corp.sign({ iss: [corp.issuer] }), 'issuer.unknown'],
  'iss as a number': [corp.sign({ iss: 1 }), 'issuer.unknown'],
  'iss that every object has': [corp.sign({ iss: 'constructor' }), 'issuer.unknown'],
  'no iss': [corp.sign({ iss: undefined }), 'issuer.unknown'],
  'an address in kid': [set({}, { kid: 'http://127.0.0.1/k' }), 'kid'],
  'a kid of 257 characters': [set({}, { kid: 'k'.repeat(257) }), 'kid'],
  'a kid with a space': [set({}, { kid: 'k 1' }), 'kid'],
  'typ of a logout token': [set({ events: {} }, { typ: 'logout+jwt' }), 'malformed'],
  'typ of a refresh token': [set({}, { typ: 'Refresh' }), 'malformed'],
  'typ of an assertion': [set({}, { typ: 'gateway-assertion+jwt' }), 'malformed'],
  'a logout token without a typ (it has events)': [
    set({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, { typ: undefined }),
    'claims.form'
  ],
  'exp of text': [set({ exp: String(now + 60) }), 'claims.exp'],
  'exp beyond a day': [set({ iat: now, exp: now + 86_401 }), 'claims.exp'],
  'iat in the future': [set({ iat: now + 300, exp: now + 400 }), 'claims.iat'],
  'nbf in the future': [set({ nbf: now + 300 }), 'claims.nbf'],
  'no aud': [set({ aud: undefined }), 'claims.aud'],
  'aud as an object': [set({ aud: { api: 1 } }), 'claims.aud'],
  'another aud': [set({ aud: ['API', 'api/'] }), 'claims.aud'],
  'a subject of 256': [set({ sub: 'x'.repeat(256) }), 'claims.sub'],
  'a subject that is half a character': [set({ sub: '\ud800' }), 'payload'],
  'a scope that is an object': [set({ scope: { admin: true } }), 'claims.form'],
  'a scope that is a list in a list': [set({ scope: [['admin']] }), 'claims.form'],
  'a client that is a list': [set({ client_id: ['toll'] }), 'claims.form'],
  'a jti that is a number': [set({ jti: 1 }), 'claims.form']
}
for (const [name, [odd, reason]] of Object.entries(attacks)) {
  t.test(`a foreign issuer gets nowhere with ${name}`, async (t) => {
    await withstands(t, target, { token: await odd, reason })
    t.equal((await target.send({ token: await corp.sign() })).status, 200, 'a good foreign token')
  })
}

t.test(
  'a foreign token is nobody at the doors, the admin listener and where a session is asked for',
  async (t) => {
    const token = await corp.sign({
      sub,
      scope: 'admin',
      sid: target.claims().sid,
      ep: 99,
      roles: ['admin'],
      auth_time: now - 900
    })
    await withstands(t, target, { token, path: '/strict', reason: 'claims.sid' })
    await withstands(t, target, { token, path: '/own', reason: 'issuer.other' })
    const doors = {
      GET: ['/auth/me', '/auth/sessions'],
      POST: ['/auth/logout', '/auth/logout-all'],
      DELETE: [`/auth/sessions/${target.claims().sid}`]
    }
    for (const [method, paths] of Object.entries(doors)) {
      for (const path of paths) await withstands(t, target, { method, path, token, reason: 'issuer.other' })
    }
    const { status, answer } = await target.send({ token, path: '/admins' })
    t.equal(status, 200, 'its scopes are for routes')
    t.match(answer, /"x-user-id","corp:kesa"/i)
    t.notMatch(answer, /x-session-id/i)
    const old = await target.send({ token, path: '/recent' })
    t.equal(old.status, 401)
    for (const [method, path] of Object.entries({
      GET: '/admin/sessions',
      DELETE: '/admin/users/kesa/sessions',
      POST: '/admin/reload'
    })) {
      t.equal((await ask(method, admin + path, { token })).status, 401, path)
    }
    const adminToken = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
    t.equal(
      (await ask('GET', `${admin}/admin/sessions`, { token: adminToken })).status,
      200,
      'positive control'
    )
  }
)

t.test("what one issuer uses up or repeats is no other's", async (t) => {
  const shared = { jti: 'the same' }
  for (const token of [await corp.sign(shared), await evil.sign(shared), target.token(shared)]) {
    t.equal((await target.send({ token, path: '/once' })).status, 200)
    t.equal((await target.send({ token, path: '/once' })).status, 401)
    t.equal((await target.send({ token })).status, 200, 'elsewhere it is not used up')
  }
})

t.test('what has a space in it is no scope, and not several', async (t) => {
  const scope = ['read admin', '', 'a\r\nX-Admin: 1', 'fine', 'admin\u00a0']
  const token = await corp.sign({ scope })
  const { status, answer } = await target.send({ token })
  t.equal(status, 200)
  t.match(answer, /"x-scopes","fine"/i)
  await withstands(t, target, { token, path: '/admins', status: 403, reason: 'scope' })
  t.equal(
    (await target.send({ token: await corp.sign({ scope: ['fine', 'admin'] }), path: '/admins' })).status,
    200
  )
})

t.test('two thousand kids cost the issuer a fetch and nobody else anything', async (t) => {
  const [asked, good] = [corp.asked.length, await corp.sign()]
  const odd = async (count: number) => corp.sign({}, { header: { kid: `flood-${count}` } })
  const template = (await odd(0)).split('.')
  const header = (kid: string) =>
    Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid })).toString('base64url')
  const statuses = new Set<number>()
  const own = target.token({}, { kid: 'nobody' }).split('.')
  for (let batch = 0; batch < 20; batch += 1) {
    const flood = Array.from({ length: 100 }, (_, index) =>
      ask('GET', `${origin}/any`, {
        token: [
          header(`flood-${batch}-${index}-${Math.random()}`),
          ...(index % 2 === 0 ? template : own).slice(1)
        ].join('.')
      })
    )
    for (const token of [good, target.good]) {
      t.equal((await ask('GET', `${origin}/any`, { token })).status, 200)
    }
    for (const { status } of await Promise.all(flood)) statuses.add(status)
  }
  t.same([...statuses], [401])
  t.ok(corp.asked.length - asked <= 2, `${corp.asked.length - asked} fetches`)
})
