import { createPrivateKey, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { addKey } from '../../services/identity/api-keys/key-editing.ts'
import { makeKeyText } from '../../services/identity/api-keys/key-text.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { runToll } from '../support/running.ts'
import { exchange, httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const redis = await startRedis()
t.teardown(() => redis.stop())
const up = await httpUpstream(t, ({ rawHeaders }, response) => response.end(JSON.stringify(rawHeaders)))
const route = (id: string, auth: unknown, more: object = {}) => ({
  id,
  path: `/${id}/*`,
  service: 'up',
  auth,
  ...more
})
const plain = { owner: 'ci', scopes: ['read'], roles: [], note: undefined }
const keyFile = join(t.testdir(), 'api-keys.json')
const goodKey = await addKey(keyFile, { ...plain, expires: undefined }, Date.now())
const overKey = await addKey(keyFile, { ...plain, expires: Date.now() - 1000 }, Date.now())
const mistyped = goodKey.text.slice(0, -1) + (goodKey.text.endsWith('a') ? 'b' : 'a')

const gateway = await startGateway(
  t,
  {
    store: { driver: 'redis', url: redis.url, timeout: '1s' },
    services: { up: { nodes: [up.url] }, other: { nodes: [up.url] } },
    routes: [
      route('lone', 'required', { service: 'other' }),
      route('any', 'required', { methods: ['GET'], limit: { qps: 0.001, slack: 3 } }),
      route('scoped', { scopes: ['read', 'write'] }),
      route('strict', { session: 'strict' }),
      route('closed', { session: 'revocable', onStale: 'closed' }),
      route('stateless', { session: 'stateless' }),
      route('reports', { audience: 'reports' }),
      route('both', { credentials: ['bearer', 'api-key'] }),
      route('once', { oneTime: true }),
      route('recent', { maxAge: '5m' }),
      route('browser', { credentials: ['cookie'] }),
      route('secret', 'required'),
      route('nowhere', 'required'),
      route('forwarding', 'required', { forwardAuthorization: true }),
      route('open', 'none')
    ],
    auth: {
      users: { driver: 'file', path: 'users.json' },
      apiKeys: { path: keyFile },
      maxStaleness: '1s',
      cookie: { refresh: true }
    },
    rules: [
      { id: 'all', scope: '*', resource: 'service:up:*' },
      { id: 'auditors', scope: 'audit', resource: 'service:up:/secret/*', priority: 9 },
      { id: 'secret', resource: 'service:up:/secret/*', access: 'denied', priority: 5 },
      { id: 'limbo', scope: 'limbo', resource: 'service:up:/nowhere/*', priority: 7 },
      { id: 'limbo-end', resource: 'service:up:/nowhere/*', access: 'denied', priority: 6 }
    ]
  },
  {
    files: {
      'users.json': await usersFile({ kesa: { password: '123', scopes: ['read'] } })
    }
  }
)

const { origin, admin, directory, log } = gateway
const adminToken = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
const explain = (method: string, url: string, headers: Sent = {}) =>
  ask('POST', `${admin}/admin/explain`, { token: adminToken, json: { method, url, headers } })

type Sent = Readonly<Record<string, string | string[]>>

const login = async () =>
  (await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })).body
const signedIn = await login()
const sid = String(signedIn.session)
const bearer = (token: unknown): Sent => ({ Authorization: `Bearer ${String(token)}` })

const { keys } = JSON.parse(readFileSync(join(directory, '.toll/keys.json'), 'utf8')) as {
  keys: (JsonWebKey & { kid: string; use: string })[]
}
const jwk = keys.find(({ use }) => use === 'sig')!
const own = createPrivateKey({ key: jwk, format: 'jwk' })
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const second = () => Math.floor(Date.now() / 1000)

/** A token as the gateway would sign it, but for what a case plants. */
function token(claims: object = {}, header: object = {}, by: KeyObject = own): string {
  const now = second()
  const all = {
    iss: 'tollkeeper',
    sub: 'kesa',
    aud: 'api',
    iat: now,
    exp: now + 600,
    jti: 'planted',
    client_id: 'tollkeeper',
    sid,
    ep: 0,
    scope: 'read',
    ...claims
  }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part({ alg: 'ES256', typ: 'at+jwt', kid: jwk.kid, ...header })}.${part(all)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: by, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

/** Sends the request for real; its status, and the reason that the log has for it. */
async function real(method: string, path: string, headers: Sent, id: string) {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((one) => `${name}: ${one}\r\n`)
  )
  const answer = await exchange(
    origin,
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ${id}\r\nConnection: close\r\n${lines.join('')}\r\n`
  )
  const line = log().find(({ requestId, msg }) => requestId === id && msg === 'request')
  return { status: Number(answer.slice(9, 12)), reason: line?.reason, verdict: line?.verdict }
}

interface Step {
  readonly step: string
  readonly outcome: string
  readonly facts: Record<string, unknown>
}

/** Compares what explain says with what happens, and looks for the planted cause among the facts. */
async function compare(t: Test, name: string, { method = 'GET', path, headers, reason, facts = {} }: Case) {
  const shown = typeof headers === 'function' ? await headers() : headers
  const explained = await explain(method, path, shown)
  const happened = await real(method, path, shown, name.replaceAll(' ', '-'))
  t.equal(happened.reason, reason, 'the planted cause')
  t.equal(explained.status, 200)
  t.match(explained.body, { allowed: false, status: happened.status, code: happened.verdict, reason })
  const refusing = (explained.body.steps as Step[]).find(({ outcome }) => outcome === 'refuses')
  t.match(refusing?.facts ?? {}, facts)
  for (const secret of Object.values(shown).flat()) {
    const value = secret.replace(/^Bearer /, '')
    if (value.length > 20) t.notOk(explained.text.includes(value), 'the credential is not repeated')
  }
}

interface Case {
  readonly method?: string
  readonly path: string
  readonly headers: Sent | (() => Promise<Sent>)
  readonly reason: string
  readonly facts?: object
}

const cases: Readonly<Record<string, Case>> = {
  'an expired token': {
    path: '/any/x',
    headers: bearer(token({ iat: second() - 700, exp: second() - 100 })),
    reason: 'claims.exp',
    facts: { credential: 'bearer', exp: Number, now: Number }
  },
  'a token that is not good yet': {
    path: '/any/x',
    headers: bearer(token({ nbf: second() + 300 })),
    reason: 'claims.nbf',
    facts: { nbf: Number, now: Number }
  },
  'a token of tomorrow': {
    path: '/any/x',
    headers: bearer(token({ iat: second() + 300, exp: second() + 600 })),
    reason: 'claims.iat'
  },
  'a token for another audience': {
    path: '/reports/x',
    headers: bearer(token()),
    reason: 'claims.aud',
    facts: { aud: 'api', wanted: 'reports' }
  },
  'a token of another issuer': {
    path: '/any/x',
    headers: bearer(token({ iss: 'elsewhere' })),
    reason: 'claims.iss',
    facts: { iss: 'elsewhere', wanted: 'tollkeeper' }
  },
  'a token without a session': {
    path: '/any/x',
    headers: bearer(token({ sid: undefined })),
    reason: 'claims.sid'
  },
  'a token whose session was ended': {
    path: '/any/x',
    headers: async () => {
      const { access_token: ended } = await login()
      await ask('POST', `${origin}/auth/logout`, { token: String(ended) })
      return bearer(ended)
    },
    reason: 'revoked.sid',
    facts: { subject: 'kesa', session: String }
  },
  'a session the store does not have': {
    path: '/strict/x',
    headers: bearer(token({ sid: sid.slice(0, -2) + (sid.endsWith('AA') ? 'BA' : 'AA') })),
    reason: 'revoked.gone'
  },
  'a token of an unknown key': {
    path: '/any/x',
    headers: bearer(token({}, { kid: 'nobodys' })),
    reason: 'kid.unknown',
    facts: { kid: 'nobodys' }
  },
  'a token with another algorithm': {
    path: '/any/x',
    headers: bearer(token({}, { alg: 'HS256' })),
    reason: 'alg',
    facts: { alg: 'HS256' }
  },
  'a token signed by somebody else': {
    path: '/any/x',
    headers: bearer(token({}, {}, stranger)),
    reason: 'signature',
    facts: { kid: jwk.kid }
  },
  'a token that is none': {
    path: '/any/x',
    headers: bearer('hello'),
    reason: 'malformed',
    facts: { length: 5, segments: 1 }
  },
  'no credential': {
    path: '/any/x',
    headers: {},
    reason: 'missing',
    facts: { credential: 'none', takes: ['bearer'] }
  },
  'a key where only tokens are taken': {
    path: '/any/x',
    headers: { 'X-API-Key': goodKey.text },
    reason: 'missing'
  },
  'two credentials': {
    path: '/both/x',
    headers: { ...bearer(token()), 'X-API-Key': goodKey.text },
    reason: 'credentials.several'
  },
  'two Authorization headers': {
    path: '/any/x',
    headers: { Authorization: [`Bearer ${token()}`, `Bearer ${token()}`] },
    reason: 'authorization_twice'
  },
  'a mistyped API key': {
    path: '/both/x',
    headers: { 'X-API-Key': mistyped },
    reason: 'apikey.checksum'
  },
  'an unknown API key': {
    path: '/both/x',
    headers: { 'X-API-Key': makeKeyText().text },
    reason: 'apikey.unknown',
    facts: { known: false }
  },
  'an API key that is over': {
    path: '/both/x',
    headers: { 'X-API-Key': overKey.text },
    reason: 'apikey.exp',
    facts: { key: overKey.record.id, owner: 'ci', expires: String, now: String }
  },
  'a scope that is missing': {
    path: '/scoped/x',
    headers: bearer(token()),
    reason: 'scope',
    facts: { needs: ['read', 'write'], has: ['read'] }
  },
  'a rule that denies': {
    path: '/secret/x',
    headers: bearer(token()),
    reason: 'rule.secret',
    facts: {
      resource: 'service:up:/secret/x',
      rules: [
        { id: 'auditors', applies: false, because: /scope/ },
        { id: 'limbo', applies: false, because: /endpoint/ },
        { id: 'limbo-end', applies: false },
        {
          id: 'secret',
          access: 'denied',
          scope: '',
          priority: 5,
          resource: 'service:up:/secret/*',
          applies: true
        }
      ]
    }
  },
  'no rule': { path: '/lone/x', headers: bearer(token()), reason: 'rule', facts: { rules: [] } },
  'another method': { method: 'POST', path: '/any/x', headers: bearer(token()), reason: 'method' },
  'an ambiguous path': { path: '/any/%2e%2e/open/x', headers: {}, reason: 'path' },
  'a path without a route': { path: '/none', headers: {}, reason: 'route' }
}

for (const [name, planted] of Object.entries(cases)) {
  t.test(`explain names the cause: ${name}`, (t) => compare(t, name, planted))
}

t.test('an allowed request: who asks, which limits count it, what the service would see', async (t) => {
  const good = String((await login()).access_token)
  const { body, text } = await explain('GET', 'http://localhost/any/x?a=1', {
    ...bearer(good),
    'X-User-Id': 'root',
    'X-Api-Key': 'whatever'
  })
  t.match(body, {
    allowed: true,
    path: '/any/x',
    route: { id: 'any', path: '/any/*', methods: ['GET'], service: 'up' },
    steps: [
      { step: 'guard' },
      { step: 'auth', outcome: 'passes', facts: { credential: 'bearer', subject: 'kesa', scopes: ['read'] } },
      { step: 'rules', outcome: 'passes', facts: { rules: [{}, {}, {}, {}, { id: 'all', applies: true }] } },
      {
        step: 'limit-by-subject',
        outcome: 'not asked',
        facts: { limit: 'any', qps: 0.001, by: 'subject', counts: 'sub=kesa' }
      }
    ],
    upstream: {
      service: 'up',
      path: '/any/x',
      identity: { 'x-user-id': 'kesa', 'x-scopes': 'read' },
      removed: ['Authorization', 'X-User-Id', 'X-Api-Key']
    }
  })
  t.notOk(text.includes(good))
  const forwarded = await explain('GET', '/forwarding/x', bearer(good))
  t.notOk(forwarded.text.includes(good), 'not even where the service gets it')
  t.notOk((forwarded.body.upstream as { removed: string[] }).removed.includes('Authorization'))
  t.match(await explain('GET', '/both/x', { 'x-api-key': goodKey.text }), {
    body: {
      allowed: true,
      steps: [{}, { facts: { credential: 'api-key', key: goodKey.record.id, subject: 'ci' } }]
    }
  })
  t.match(await explain('GET', '/auth/me'), { body: { allowed: true, door: '/auth/me' } })
  t.match(await explain('GET', '/open/x'), { body: { allowed: true, steps: [{ step: 'guard' }] } })
  const seen = up.requests.length
  await explain('GET', '/open/x')
  t.equal(up.requests.length, seen, 'the service hears nothing')
})

t.test('what would be used up is left alone: one-time tokens and renewals by cookie', async (t) => {
  const headers = bearer(token({ jti: 'once' }))
  for (let count = 0; count < 2; count += 1) {
    const { body } = await explain('GET', '/once/x', headers)
    t.equal(body.allowed, null)
    t.match((body.steps as Step[]).at(-1), { step: 'one-time', outcome: 'cannot tell' })
  }
  t.equal((await real('GET', '/once/x', headers, 'once-1')).status, 200)
  t.equal((await real('GET', '/once/x', headers, 'once-2')).reason, 'replayed')
  t.match(await explain('GET', '/recent/x', bearer(token({ auth_time: second() - 3600 }))), {
    body: { allowed: false, status: 401, reason: 'auth_time' }
  })
  const given = await ask('POST', `${origin}/auth/login`, {
    json: { username: 'kesa', password: '123', cookie: true },
    headers: { 'sec-fetch-site': 'same-origin' }
  })
  const cookies = given.headers.getSetCookie().map((line) => line.split(';')[0]!)
  t.ok(cookies.length > 1, given.text)
  const all = { Cookie: cookies.join('; '), 'Sec-Fetch-Site': 'same-origin' }
  t.match(await explain('GET', '/browser/x', all), {
    body: { allowed: true, steps: [{}, { facts: { credential: 'cookie', subject: 'kesa' } }] }
  })
  const late = {
    ...all,
    Cookie: cookies.filter((cookie) => !cookie.startsWith('__Host-toll_at=')).join('; ')
  }
  const open = await explain('GET', '/browser/x', late)
  t.match(open.body, { allowed: null, detail: /renewed by its cookie/ })
  for (const cookie of cookies) t.notOk(open.text.includes(cookie.split('=')[1]!))
})

t.test('explaining uses no limit up', async (t) => {
  const headers = bearer(token({ sub: 'thrifty' }))
  for (let count = 0; count < 10; count += 1) {
    t.match(await explain('GET', '/any/x', headers), { body: { allowed: true } })
  }
  const statuses: number[] = []
  for (let count = 0; count < 5; count += 1) {
    statuses.push((await real('GET', '/any/x', headers, `thrifty-${count}`)).status)
  }
  t.same(statuses, [200, 200, 200, 200, 429])
})

t.test('explaining is no use of a session', async (t) => {
  const { origin, admin, directory } = await startGateway(
    t,
    {
      services: { up: { nodes: [up.url] } },
      routes: [route('any', 'required')],
      auth: { users: { driver: 'file', path: 'users.json' }, idle: '4s' }
    },
    { files: { 'users.json': await usersFile({ kesa: { password: '123' } }) } }
  )
  const adminToken = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  const { body } = await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })
  const lastSeen = async () => {
    const { body } = await ask('GET', `${admin}/admin/sessions`, { token: adminToken })
    return (body.sessions as { last_seen_at: string }[])[0]!.last_seen_at
  }
  const before = await lastSeen()
  for (let count = 0; count < 10; count += 1) {
    const json = {
      method: 'GET',
      url: '/any/x',
      headers: { authorization: `Bearer ${String(body.access_token)}` }
    }
    t.match(await ask('POST', `${admin}/admin/explain`, { token: adminToken, json }), {
      body: { allowed: true }
    })
    await sleep(200)
  }
  t.equal(await lastSeen(), before)
  t.equal((await ask('GET', `${origin}/any/x`, { token: String(body.access_token) })).status, 200)
  for (let count = 0; count < 50 && (await lastSeen()) === before; count += 1) await sleep(100)
  t.not(await lastSeen(), before, 'a real request is')
})

t.test('what is asked has to be a request', async (t) => {
  const post = (json: unknown) => ask('POST', `${admin}/admin/explain`, { token: adminToken, json })
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [{ method: 'GET' }, /\/url/],
    [{ method: 'GET', url: '/', body: 'x' }, /\/body/],
    [{ method: 'FETCH', url: '/' }, /no such HTTP method/],
    [{ method: 'GET', url: '/ä' }, /encode it/],
    [{ method: 'GET', url: '/', headers: { a: 1 } }, /\/headers\/a/],
    [{ method: 'GET', url: '/', headers: { 'a b': 'x' } }, /could not be sent/],
    [{ method: 'GET', url: '/', headers: { a: 'secret\n' } }, /could not be sent/]
  ]
  for (const [json, sentence] of wrong) {
    const { status, body, text } = await post(json)
    t.equal(status, 400, JSON.stringify(json))
    t.match(body.detail, sentence)
    t.notMatch(text, 'secret')
  }
  t.equal((await ask('POST', `${admin}/admin/explain`, { json: { method: 'GET', url: '/' } })).status, 401)
  const user = String((await login()).access_token)
  t.equal((await ask('POST', `${admin}/admin/explain`, { token: user, json: {} })).status, 403)
})

t.test('toll explain asks the running gateway', async (t) => {
  const env = { TOLL_ADMIN_URL: admin, TOLL_ADMIN_TOKEN: adminToken }
  const toll = async (...args: string[]) => {
    const { ended, output } = runToll(t, ['explain', ...args], {}, env)
    t.equal(await ended, 0, output.err)
    return output.out
  }
  const expired = token({ iat: second() - 700, exp: second() - 100 })
  const told = await toll('GET', '/any/x', '-H', `Authorization: Bearer ${expired}`)
  t.match(told, /^refused +401 UNAUTHENTICATED, reason claims\.exp\n +The access token has expired/)
  t.match(told, /^route +any: GET \/any\/\* of "up"$/m)
  t.match(told, /^auth +refuses: .*exp \d+, .*now \d+/m)
  t.notOk(told.includes(expired))
  const denied = await toll('GET', '/secret/x', '-H', `Authorization: Bearer ${token()}`)
  t.match(denied, /^rules +refuses: .*resource service:up:\/secret\/x$/m)
  t.match(denied, /^ +- id secret, .*applies true/m)
  t.match(await toll('GET', '/open/x'), /^allowed +the service gets it$/m)
  t.match(JSON.parse(await toll('POST', '/any/x', '--json')), {
    allowed: false,
    status: 405,
    reason: 'method'
  })
})

t.test('while the store does not answer, explain says so as requests do', async (t) => {
  const good = bearer((await login()).access_token)
  redis.pause()
  t.teardown(() => redis.resume())
  await sleep(2500)
  const served = async () =>
    /^tollkeeper_stale_requests_served_total.* (\d+)$/m.exec(
      await (await fetch(`${admin}/metrics`)).text()
    )?.[1]
  t.equal(await served(), '0')
  t.match((await explain('GET', '/both/7', good)).body, { allowed: true })
  t.equal(await served(), '0', 'explaining serves nobody')
  t.equal((await ask('GET', `${origin}/both/7`, { headers: good as Record<string, string> })).status, 200)
  t.equal(await served(), '1')
  await compare(t, 'a stale list', {
    path: '/closed/x',
    headers: good,
    reason: 'stale',
    facts: { revocations: { isFresh: false, lag: Number } }
  })
  await compare(t, 'no store', {
    path: '/strict/x',
    headers: good,
    reason: 'store',
    facts: { session: String }
  })
})
