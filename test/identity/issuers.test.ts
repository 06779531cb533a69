import { createHmac } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { issuerOptions } from '../../services/identity/issuers/check.ts'
import {
  RemoteKeys,
  type RemoteKeyTimes,
  remoteKeyTimes
} from '../../services/identity/issuers/remote-keys.ts'
import { authority, certificate, privateKey } from '../support/certificates.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { type IdentityProvider, startIdentityProvider } from '../support/identity-provider.ts'
import { freePorts } from '../support/ports.ts'
import { startToll } from '../support/toll.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ kesa: { password: '123' } })

/** A gateway that takes tokens of these issuers, before an upstream that tells whom it was asked by. */
async function start(
  t: Test,
  issuers: Record<string, unknown>[],
  routes: unknown[] = ['required'],
  files: Record<string, string> = {}
) {
  const upstream = await httpUpstream(t, ({ headers }, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ user: headers['x-user-id'], scopes: headers['x-scopes'] }))
  })
  const gateway = await startGateway(
    t,
    {
      services: { app: { nodes: [upstream.url] } },
      auth: { users: { driver: 'file', path: 'users.json' }, issuers },
      routes: routes.map((auth, index) => ({ id: `r${index}`, path: `/r${index}`, service: 'app', auth }))
    },
    { files: { 'users.json': users, ...files } }
  )
  const get = (token: string, path = '/r0') => ask('GET', gateway.origin + path, { token })
  const status = async (token: string, path?: string) => (await get(token, path)).status
  const ownToken = async () => {
    const { body } = await ask('POST', `${gateway.origin}/auth/login`, {
      json: { username: 'kesa', password: '123' }
    })
    return String(body.access_token)
  }
  const reasons = () =>
    gateway
      .log()
      .map(({ reason }) => reason)
      .filter((reason) => reason !== undefined)
  return { ...gateway, upstream, get, status, ownToken, reasons }
}

const of = (provider: IdentityProvider, more: Record<string, unknown> = {}) => ({
  name: 'corp',
  issuer: provider.issuer,
  ...more
})

t.test('a token of another issuer passes as somebody who is no user of this gateway', async (t) => {
  const provider = await startIdentityProvider(t)
  const { get, ownToken, origin, admin, directory } = await start(
    t,
    [of(provider)],
    ['required', { session: 'strict' }, { issuers: ['own'] }, { issuers: ['corp'] }, { session: 'stateless' }]
  )
  const own = await ownToken()
  const token = await provider.sign({ scope: 'a b', sid: 'x', ep: 9 })
  const answer = await get(token)
  t.equal(answer.status, 200)
  t.same(answer.body, { user: 'corp:kesa', scopes: 'a b' })
  t.equal((await get(own)).body.user, 'kesa', "the gateway's own pass beside it")
  t.same(provider.asked, ['/.well-known/openid-configuration', '/keys'], 'fetched once, at start')

  t.equal((await get(token, '/r1')).status, 401, 'it has no session here, which strict asks for')
  t.equal((await get(own, '/r1')).status, 200)
  t.equal((await get(token, '/r2')).status, 401)
  t.equal((await get(own, '/r2')).status, 200)
  t.equal((await get(token, '/r3')).status, 200)
  t.equal((await get(own, '/r3')).status, 401)
  t.equal((await get(token, '/r4')).status, 200)

  for (const door of ['/auth/me', '/auth/sessions']) {
    t.equal((await ask('GET', origin + door, { token })).status, 401, door)
    t.equal((await ask('GET', origin + door, { token: own })).status, 200, door)
  }
  const adminToken = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  t.equal((await ask('GET', `${admin}/admin/sessions`, { token: adminToken })).status, 200)
  t.equal((await ask('GET', `${admin}/admin/sessions`, { token })).status, 401)
})

t.test('what the token may be like is for the config to say', async (t) => {
  const provider = await startIdentityProvider(t)
  await provider.addKey('rsa', 'RS256')
  await provider.addKey('ed', 'EdDSA')
  await provider.addKey('es384', 'ES384')
  const { alg: _, ...unnamed } = provider.publicJwk('rsa')
  provider.published[1] = unnamed
  const options = {
    audience: 'corp-api',
    algorithms: ['ES256', 'PS256', 'RS256'],
    types: ['JWT'],
    scopeClaim: 'scp'
  }
  const { get, status, reasons } = await start(
    t,
    [of(provider, { ...options, maxLifetime: '1h', subjectPrefix: '' })],
    ['required', { audience: 'special' }]
  )
  const now = Math.floor(Date.now() / 1000)
  const plain = { aud: 'corp-api', scp: ['x', 'y'] }
  const jwt = { header: { typ: 'JWT' } }
  const answer = await get(await provider.sign(plain, jwt))
  t.same(answer.body, { user: 'kesa', scopes: 'x y' })
  t.equal(await status(await provider.sign(plain, { header: { typ: undefined } })), 200, 'no typ is JWT')
  const groups = { ...plain, scp: ['x', 'Big Admins', 'a\tadmin', '', 'käsa'] }
  const { scopes } = (await get(await provider.sign(groups, jwt))).body
  t.equal(scopes, 'x k%C3%A4sa', 'nothing that a service could take for two scopes')
  t.equal(await status(await provider.sign({ ...plain, jti: undefined }, jwt)), 200, 'no jti')
  t.equal(await status(await provider.sign({ ...plain, aud: ['special'] }, jwt), '/r1'), 200)
  t.equal(await status(await provider.sign(plain, jwt), '/r1'), 401, "a route's own audience holds")
  const bad: Record<string, [Promise<string>, string]> = {
    'another typ': [provider.sign(plain), 'malformed'],
    'the audience of others': [provider.sign({}, jwt), 'claims.aud'],
    'an algorithm that is not taken': [provider.sign(plain, { ...jwt, kid: 'ed' }), 'alg'],
    'another curve': [provider.sign(plain, { ...jwt, kid: 'es384' }), 'alg'],
    'a long life': [provider.sign({ ...plain, iat: now, exp: now + 3601 }, jwt), 'claims.exp'],
    'no iat': [provider.sign({ ...plain, iat: undefined }, jwt), 'claims.iat'],
    'no exp': [provider.sign({ ...plain, exp: undefined }, jwt), 'claims.exp'],
    'an empty subject': [provider.sign({ ...plain, sub: '' }, jwt), 'claims.sub'],
    'scopes that are no text': [provider.sign({ ...plain, scp: [1] }, jwt), 'claims.form'],
    'an RSA key without alg is for the first of RSA in the list': [
      provider.sign(plain, { ...jwt, kid: 'rsa' }),
      'alg'
    ]
  }
  for (const [name, [token, reason]] of Object.entries(bad)) {
    t.equal(await status(await token), 401, name)
    t.equal(reasons().at(-1), reason, name)
  }
})

t.test('each issuer vouches with its own keys only', async (t) => {
  const [a, b] = [await startIdentityProvider(t), await startIdentityProvider(t)]
  await b.addKey('b2')
  const stranger = await a.addKey('stranger', 'ES256', false)
  const { status, ownToken, reasons, origin } = await start(t, [
    of(a, { name: 'a' }),
    of(b, { name: 'b', subjectPrefix: 'own-b/' })
  ])
  const [good, own] = [await a.sign(), await ownToken()]
  const jwks = await ask('GET', `${origin}/.well-known/jwks.json`)
  const [ownKey] = jwks.body.keys as { kid: string }[]
  const now = Math.floor(Date.now() / 1000)
  const hmac = (secret: string) => {
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const payload = { iss: a.issuer, sub: 'root', aud: 'api', iat: now, exp: now + 60 }
    const input = `${part({ alg: 'HS256', kid: 'k1', typ: 'JWT' })}.${part(payload)}`
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
  }
  const twice = Buffer.from(`{"iss":"${b.issuer}","iss":"${a.issuer}"}`).toString('base64url')
  const attacks: Record<string, [string, string]> = {
    "a's kid, signed by b": [await b.sign({ iss: a.issuer }), 'signature'],
    'a key that was never published': [await a.sign({}, { by: stranger }), 'signature'],
    "b's kid with a's iss": [await b.sign({ iss: a.issuer }, { kid: 'b2' }), 'kid'],
    "b's token with the iss of this gateway": [await b.sign({ iss: 'tollkeeper' }), 'kid.unknown'],
    "b's token with a kid of this gateway": [await b.sign({}, { header: { kid: ownKey!.kid } }), 'malformed'],
    'the same as at+jwt of this gateway': [
      await b.sign({ iss: 'tollkeeper' }, { header: { kid: ownKey!.kid, typ: 'at+jwt' } }),
      'signature'
    ],
    'HS256 with the public key': [hmac(JSON.stringify(a.publicJwk('k1'))), 'alg'],
    'an issuer that nobody knows': [await a.sign({ iss: 'http://127.0.0.1:1' }), 'issuer.unknown'],
    'no issuer': [await a.sign({ iss: undefined }), 'issuer.unknown'],
    'two issuers': [`${good.split('.')[0]}.${twice}.${good.split('.')[2]}`, 'payload']
  }
  for (const [name, [token, reason]] of Object.entries(attacks)) {
    t.equal(await status(token), 401, name)
    if (reason !== 'malformed') t.equal(reasons().at(-1), reason, name)
    t.equal(await status(good), 200, 'positive control')
    t.equal(await status(own), 200, 'positive control')
  }
})

t.test('keys that are rotated under way refuse nobody, and cost one fetch', async (t) => {
  const provider = await startIdentityProvider(t)
  const { status, reasons } = await start(t, [of(provider)])
  t.equal(await status(await provider.sign()), 200)
  const before = provider.asked.length
  await provider.addKey('k2')
  const tokens = await Promise.all(Array.from({ length: 20 }, () => provider.sign({}, { kid: 'k2' })))
  const statuses = await Promise.all(tokens.map((token) => status(token)))
  t.same(new Set(statuses), new Set([200]))
  t.equal(provider.asked.length, before + 1, 'one fetch for all of them')

  await provider.addKey('k3', 'ES256', false)
  const unknown = await provider.sign({}, { kid: 'k3' })
  t.equal(await status(unknown), 401, 'within half a minute no token makes anybody fetch again')
  t.equal(reasons().at(-1), 'kid')
  t.equal(provider.asked.length, before + 1)
})

t.test('an issuer that is away is no reason not to start, and none to call a token bad', async (t) => {
  const provider = await startIdentityProvider(t)
  const [known, other] = [await provider.sign(), await startIdentityProvider(t)]
  await provider.stop()
  const began = performance.now()
  const { status, get, ownToken, admin, log } = await start(t, [of(provider), of(other, { name: 'other' })])
  t.ok(performance.now() - began < 5000)
  const refused = await get(known)
  t.equal(refused.status, 503)
  t.equal(refused.body.code, 'ISSUER_UNAVAILABLE')
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  t.notMatch(refused.text, String(provider.port))
  t.equal(await status(await ownToken()), 200)
  t.equal(await status(await other.sign()), 200)
  t.equal((await ask('GET', `${admin}/readyz?verbose`)).status, 200)
  const warned = log().filter(({ msg }) => /Issuer "corp": its keys cannot be fetched/.test(String(msg)))
  t.equal(warned.length, 1)
  t.notMatch(JSON.stringify(warned), String(provider.port), 'no address in the log')

  // It comes back, and the next tries find it.
  await provider.restart()
  const from = performance.now()
  while ((await status(known)) !== 200 && performance.now() - from < 10_000) await sleep(100)
  t.equal(await status(known), 200)

  // It goes away again: known keys go on, unknown ones cannot be told yet.
  await provider.stop()
  await provider.addKey('k2')
  const [fresh, unknown] = [await provider.sign(), await provider.sign({}, { kid: 'k2' })]
  t.equal(await status(unknown), 503)
  t.equal(await status(unknown), 503)
  t.equal(await status(fresh), 200)
})

/** Keys of a provider with times that a test can wait for. */
async function remote(t: Test, provider: IdentityProvider, times: Partial<RemoteKeyTimes> = {}, more = {}) {
  const warnings: string[] = []
  const options = { issuer: provider.issuer, algorithms: ['ES256'], allowInsecure: false, ...more }
  const keys = new RemoteKeys(options, (sentence) => warnings.push(sentence), { ...remoteKeyTimes, ...times })
  t.teardown(() => keys.close())
  await keys.refresh()
  return { keys, warnings }
}

t.test('whatever an issuer answers, it cannot harm', async (t) => {
  const pair = await startIdentityProvider(t)
  const elsewhere = await startIdentityProvider(t)
  const misbehaving = (how: IdentityProvider['misbehave']) => (provider: IdentityProvider) => {
    provider.misbehave = how
  }
  const answering = (status: number, headers: Record<string, string> = {}) =>
    misbehaving((_request, response) => void response.writeHead(status, headers).end('<html>'))
  const streaming = (text: string, pause: number) =>
    misbehaving((_request, response) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write(text), pause)
      response.on('close', () => clearInterval(timer))
    })
  const discovering = (other: object) => (provider: IdentityProvider) => {
    Object.assign(provider.discovery, other)
  }
  const publishing = (jwk: object) => (provider: IdentityProvider) => {
    provider.published.push({ ...provider.published[0]!, ...jwk })
  }
  const elsewhereNow = misbehaving(({ url }, response) => {
    response.writeHead(302, { location: elsewhere.issuer + url }).end()
  })
  const cases: Record<string, [(provider: IdentityProvider) => void, RegExp]> = {
    'a hang': [misbehaving(() => {}), /did not answer in time/],
    'an endless answer': [streaming('x'.repeat(16_384), 1), /too large/],
    'an answer that trickles': [streaming(' ', 50), /did not answer in time/],
    garbage: [answering(200), /no JSON object/],
    'an error': [answering(500), /answered 500/],
    'a reset': [misbehaving(({ socket }) => void socket.destroy()), /cannot be reached/],
    'a redirect to another origin': [elsewhereNow, /another origin/],
    'a redirect without end': [answering(302, { location: '/x' }), /from one address to the next/],
    'another issuer': [discovering({ issuer: pair.issuer }), /another issuer/],
    'a longer name of itself': [
      (provider) => discovering({ issuer: `${provider.issuer}/` })(provider),
      /another issuer/
    ],
    'keys at an unsafe address': [discovering({ jwks_uri: 'http://192.0.2.1/keys' }), /no safe address/],
    'keys in a file': [discovering({ jwks_uri: 'file:///etc/passwd' }), /no safe address/],
    'a kid twice': [publishing({}), /twice/],
    'a private key': [publishing({ kid: 'x', d: 'AAAA' }), /secret key/],
    'a shared secret': [publishing({ kty: 'oct', k: 'AAAA', kid: 'x' }), /secret key/]
  }
  for (const [name, [spoil, says]] of Object.entries(cases)) {
    const provider = await startIdentityProvider(t)
    const good = await remote(t, provider, { timeout: 400 })
    t.ok(good.keys.find('k1'), 'positive control')
    spoil(provider)
    const { keys, warnings } = await remote(t, provider, { timeout: 400 })
    t.equal(keys.find('k1'), undefined, name)
    t.match(warnings.join(), says, name)
    t.notMatch(warnings.join(), String(provider.port), 'no address')
    t.equal(await keys.missing('k1'), undefined)
    t.equal(keys.missing('k1'), 'issuer.unavailable', name)
    // What was known goes on through all of it.
    await good.keys.refresh()
    t.ok(good.keys.find('k1'), name)
  }
  t.same(elsewhere.asked, [])
})

t.test('keys that cannot be used are left out and named; the others serve', async (t) => {
  const provider = await startIdentityProvider(t)
  const [k1] = provider.published
  provider.published.push(
    { ...k1, kid: 'enc', use: 'enc' },
    { ...k1, kid: 'es384', alg: 'ES384' },
    { kty: 'XX', kid: 'x' }
  )
  const { keys, warnings } = await remote(t, provider)
  t.ok(keys.find('k1'))
  for (const kid of ['enc', 'es384', 'x']) t.equal(keys.find(kid), undefined, kid)
  t.match(warnings.join(), /key 2: .*key 3: .*key 4: /)
})

t.test('a redirect within the origin is followed, and RFC 8414 discovery is tried next', async (t) => {
  const provider = await startIdentityProvider(t)
  provider.misbehave = ({ url = '' }, response) => {
    if (url === '/.well-known/openid-configuration') return void response.writeHead(404).end()
    if (url === '/keys') return void response.writeHead(302, { location: '/moved' }).end()
    const { issuer } = provider
    const isKeys = url === '/moved'
    response.end(
      JSON.stringify(isKeys ? { keys: provider.published } : { issuer, jwks_uri: `${issuer}/keys` })
    )
  }
  const { keys } = await remote(t, provider)
  t.ok(keys.find('k1'))
  t.same(provider.asked.slice(1), ['/.well-known/oauth-authorization-server', '/keys', '/moved'])
})

t.test('keys are fetched again when their time is over, as long as it may be', async (t) => {
  const provider = await startIdentityProvider(t)
  provider.cacheControl = 'public, max-age=0'
  const { keys } = await remote(t, provider, { minAge: 50 })
  const { generation } = keys
  await provider.addKey('k2')
  const from = performance.now()
  while (keys.find('k2') === undefined && performance.now() - from < 5000) await sleep(10)
  t.ok(keys.find('k2'))
  t.not(keys.generation, generation, 'what was verified before is verified again')
  provider.cacheControl = 'max-age=86400'
  await keys.refresh()
  const asked = provider.asked.length
  await sleep(200)
  t.equal(provider.asked.length, asked)

  const strict = await remote(t, provider, { minAge: 20, staleFor: 100, retry: 20, maxAge: 20 })
  t.ok(strict.keys.find('k1'))
  await provider.stop()
  const since = performance.now()
  while (strict.keys.find('k1') !== undefined && performance.now() - since < 5000) await sleep(10)
  t.equal(strict.keys.find('k1'), undefined, 'keys nobody could withdraw for too long are let go')
  t.ok(strict.warnings.length === 1, 'the trouble is told once')
})

t.test('a kid the issuer does not have is not asked for again, and holds up no other', async (t) => {
  const provider = await startIdentityProvider(t)
  const { keys } = await remote(t, provider, { cooldown: 50 })
  const asked = provider.asked.length
  await keys.missing('old')
  t.equal(provider.asked.length, asked + 1)
  await sleep(80)
  for (let count = 0; count < 50; count += 1) t.equal(keys.missing('old'), 'kid')
  t.equal(provider.asked.length, asked + 1)
  await provider.addKey('k2')
  await keys.missing('k2')
  t.ok(keys.find('k2'))
  for (let count = 0; count < 1000; count += 1) await keys.missing(`random-${count}`)
  t.ok(provider.asked.length < asked + 200, `${provider.asked.length - asked} fetches for 1000 forged kids`)
})

t.test('keys may be in a file, which is read again when it changes', async (t) => {
  const provider = await startIdentityProvider(t)
  const file = (keys: unknown) => JSON.stringify({ keys })
  const issuer = { name: 'corp', issuer: 'urn:corp', keys: 'corp.json' }
  const { status, directory } = await start(t, [issuer], undefined, { 'corp.json': file(provider.published) })
  const [k1, k2] = ['k1', 'k2']
  await provider.addKey(k2)
  const sign = (kid: string) => provider.sign({ iss: 'urn:corp' }, { kid })
  t.equal(await status(await sign(k1)), 200)
  t.equal(await status(await sign(k2)), 401)
  const becomes = async (kid: string, wanted: number) => {
    const token = await sign(kid)
    const from = performance.now()
    while ((await status(token)) !== wanted && performance.now() - from < 5000) await sleep(50)
    t.equal(await status(token), wanted, kid)
  }
  writeFileSync(join(directory, 'corp.json'), file([provider.publicJwk(k2)]))
  await becomes(k2, 200)
  await becomes(k1, 401)
  writeFileSync(join(directory, 'corp.json'), '{')
  await sleep(1500)
  await becomes(k2, 200)
  t.same(provider.asked, [])
})

t.test('a config that names an issuer twice, unsafely or not at all is refused with its place', async (t) => {
  const refused = async (issuers: unknown[], route: unknown, says: RegExp) => {
    const app = { app: { nodes: ['http://127.0.0.1:9'] } }
    const routes = [{ id: 'r', path: '/r', service: 'app', auth: route }]
    const starting = startGateway(t, { services: app, auth: { issuers }, routes })
    await t.rejects(starting, says)
  }
  const issuer = { name: 'corp', issuer: 'https://id.example' }
  await refused([issuer], { issuers: ['crop'] }, /"crop", and there is no such issuer/)
  await refused([issuer, issuer], 'required', /there is an issuer "corp" already/)
  await refused([issuer, { ...issuer, name: 'b' }], 'required', /signs with this "iss" already/)
  await refused([{ ...issuer, name: 'own' }], 'required', /there is an issuer "own" already/)
  await refused([{ ...issuer, issuer: 'tollkeeper' }], 'required', /signs with this "iss" already/)
  await refused([{ ...issuer, issuer: 'http://id.example' }], 'required', /come over https/)
  await refused([{ ...issuer, jwks: 'http://id.example/keys' }], 'required', /come over https/)
  await refused([{ ...issuer, issuer: 'urn:corp' }], 'required', /no keys can be found/)
  await refused([{ ...issuer, jwks: 'https://id.example/k', keys: 'k.json' }], 'required', /not both/)
  await refused([{ ...issuer, algorithms: ['HS256'] }], 'required', /HS256/)
  await refused([{ ...issuer, algorithms: ['none'] }], 'required', /none/)
  await refused([{ ...issuer, keys: 'missing.json' }], 'required', /missing\.json/)
})

t.test('keys come over https from who has a certificate, and from nobody else', async (t) => {
  const provider = await startIdentityProvider(t, { key: privateKey, cert: certificate })
  const { warnings } = await remote(t, provider)
  t.match(warnings.join(), /cannot be reached/, 'this process does not know its authority')

  const upstream = await httpUpstream(t, (_request, response) => void response.end('ok'))
  const directory = mkdtempSync(join(tmpdir(), 'toll-issuer-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const [port, adminPort] = await freePorts(2)
  const admin = `127.0.0.1:${adminPort}`
  const path = join(directory, 'gateway.config.json')
  const config = {
    listen: { public: `127.0.0.1:${port}`, admin },
    services: { app: { nodes: [upstream.url] } },
    auth: { issuers: [of(provider)] },
    routes: [{ id: 'r', path: '/r', service: 'app' }]
  }
  writeFileSync(path, JSON.stringify(config))
  writeFileSync(join(directory, 'ca.pem'), authority)
  await startToll(t, ['start', '--config', path], {
    cwd: directory,
    admin,
    env: { NODE_EXTRA_CA_CERTS: join(directory, 'ca.pem') }
  })
  const answer = await ask('GET', `http://127.0.0.1:${port}/r`, { token: await provider.sign() })
  t.equal(answer.status, 200)
})

t.test('a config in which users of two issuers are taken for each other is warned of', async (t) => {
  const issuer = (name: string, subjectPrefix?: string) => ({
    name,
    issuer: `urn:${name}`,
    keys: `${name}.json`,
    subjectPrefix
  })
  const warned = (issuers: readonly object[]) => {
    const found: string[] = []
    const report = {
      error: () => {},
      warning: (at: string, sentence: string) => found.push(`${at} ${sentence}`)
    }
    issuerOptions({ auth: { issuers }, routes: [] } as never, report as never)
    return found
  }
  t.same(warned([issuer('a'), issuer('b')]), [])
  t.match(warned([issuer('a', 'x:'), issuer('b', 'x:')]), [
    /^\/auth\/issuers\/1\/subjectPrefix users of issuer "b" are taken/
  ])
  t.match(warned([issuer('a'), issuer('b', 'a:')]), [/issuer "a"$/])
})
