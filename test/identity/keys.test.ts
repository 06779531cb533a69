import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { importJWK, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { newKeys, rotateKeys, writeKeys } from '../../services/identity/keys/key-file.ts'
import { parseKeyFile, stateOf } from '../../services/identity/keys/key-record.ts'
import { KeyRing } from '../../services/identity/keys/key-ring.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { usersFile } from '../support/users.ts'

function pathOf(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-keys-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'sub', 'keys.json')
}

async function openRing(t: Test, path: string, now: () => number = Date.now): Promise<KeyRing> {
  const ring = await KeyRing.open(path, { now })
  t.teardown(() => ring.close())
  return ring
}

t.test('of many that start at once one makes the file, and all use it', async (t) => {
  const path = pathOf(t)
  const rings = await Promise.all(Array.from({ length: 16 }, () => openRing(t, path)))
  t.equal(new Set(rings.map((ring) => ring.active().kid)).size, 1)
  t.equal(new Set(rings.map((ring) => ring.hashUser('kesa'))).size, 1)
  t.equal(statSync(path).mode & 0o777, 0o600)
})

t.test('a rotated key is published, then signs, then only verifies, then is gone', async (t) => {
  const path = pathOf(t)
  let clock = Date.now()
  const ring = await openRing(t, path, () => clock)
  const old = ring.active().kid
  const hash = ring.hashUser('kesa')
  const oldMac = ring.refreshMac(ring.activeRefreshKid(), 'x')!
  const oldRefresh = ring.activeRefreshKid()
  const generation = ring.generation
  await rotateKeys(path, {
    now: clock,
    signFrom: clock + 1000,
    accessLife: 5000,
    refreshLife: 60_000
  })
  await ring.refresh()
  // 1. Published: everybody can read it before it signs.
  t.not(ring.generation, generation)
  t.equal(ring.active().kid, old)
  const published = (JSON.parse(ring.jwks().body) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
  t.equal(published.length, 2)
  const next = published.find((kid) => kid !== old)!
  // 2. It signs, the old one verifies.
  clock += 1000
  t.equal(ring.active().kid, next)
  t.not(ring.activeRefreshKid(), oldRefresh)
  t.ok(ring.find(old))
  t.same(ring.refreshMac(oldRefresh, 'x'), oldMac)
  t.equal(ring.hashUser('kesa'), hash, 'store keys do not move')
  // 3. Its last token has expired.
  clock += 5000
  t.equal(ring.find(old), undefined)
  t.equal((JSON.parse(ring.jwks().body) as { keys: unknown[] }).keys.length, 1)
  t.ok(ring.refreshMac(oldRefresh, 'x'), 'refresh tokens live longer')
  clock += 60_000
  t.equal(ring.refreshMac(oldRefresh, 'x'), undefined)
  t.equal(ring.refreshMac('constructor', 'x'), undefined)
})

t.test('states follow from the times alone', async (t) => {
  const path = pathOf(t)
  const ring = await openRing(t, path, () => 1000)
  const keys = await rotateKeys(path, {
    now: 1000,
    signFrom: 2000,
    accessLife: 500,
    refreshLife: 900
  })
  const states = (now: number) =>
    keys.filter(({ use }) => use === 'sig').map((key) => stateOf(key, keys, now))
  t.same(states(1000), ['active', 'next'])
  t.same(states(2000), ['retired', 'active'])
  t.same(states(2500), ['gone', 'active'])
  t.ok(ring)
})

t.test('a key file that is open to others, broken or incomplete is refused in one sentence', async (t) => {
  const path = pathOf(t)
  await openRing(t, path)
  const text = readFileSync(path, 'utf8')
  chmodSync(path, 0o644)
  await t.rejects(KeyRing.open(path), { message: /chmod 600/ })
  chmodSync(path, 0o640)
  await openRing(t, path)
  const { keys } = JSON.parse(text) as { keys: Record<string, unknown>[] }
  const sig = keys.find(({ use }) => use === 'sig')!
  const broken: Record<string, string> = {
    'not JSON': text.slice(0, -20),
    'a private key missing': JSON.stringify({ keys: keys.map(({ d: _, ...key }) => key) }),
    'a short secret': JSON.stringify({
      keys: keys.map((key) => (key.use === 'refresh' ? { ...key, k: 'AAAA' } : key))
    }),
    'a kid twice': JSON.stringify({ keys: [...keys, sig] }),
    'no signing key': JSON.stringify({
      keys: [...keys.filter((key) => key !== sig), { ...keys[1], kid: 'x' }]
    }),
    'another curve': JSON.stringify({
      keys: keys.map((key) => (key === sig ? { ...key, crv: 'secp256k1' } : key))
    })
  }
  for (const [name, wrong] of Object.entries(broken)) {
    writeFileSync(path, wrong)
    const message = await KeyRing.open(path).then(
      () => '',
      ({ message }: Error) => message
    )
    t.match(message, /^[^\n]+\.$/, name)
    t.ok(message.includes(path), 'the file is named')
    t.notMatch(message, String(sig.d), 'no part of a key is told')
  }
})

t.test('a ring lives on when its file breaks, and says so once', async (t) => {
  const path = pathOf(t)
  const warnings: string[] = []
  const ring = await KeyRing.open(path, { warn: (sentence) => warnings.push(sentence) })
  t.teardown(() => ring.close())
  const { kid } = ring.active()
  writeFileSync(path, '{')
  await new Promise((resolve) => setTimeout(resolve, 2300))
  t.equal(ring.active().kid, kid)
  t.equal(warnings.length, 1)
})

t.test(
  'tokens verify with the published keys by another library, and rotation under way refuses nobody',
  async (t) => {
    const files = { 'users.json': await usersFile({ kesa: { password: '123' } }) }
    const { origin, directory } = await startGateway(
      t,
      { auth: { users: { driver: 'file', path: 'users.json' } }, routes: [] },
      { files }
    )
    const login = async () => {
      const { body } = await ask('POST', `${origin}/auth/login`, {
        json: { username: 'kesa', password: '123' }
      })
      return { access: String(body.access_token), refresh: body.refresh_token }
    }
    const kidOf = (token: string): string =>
      JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()).kid as string
    const old = await login()
    const path = join(directory, '.toll/keys.json')
    const now = Date.now()
    await rotateKeys(path, { now, signFrom: now + 1, accessLife: 60_000, refreshLife: 60_000 })
    let later = await login()
    const deadline = Date.now() + 5000
    while (kidOf(later.access) === kidOf(old.access) && Date.now() < deadline) later = await login()
    t.not(kidOf(later.access), kidOf(old.access), 'the running gateway took the new key')
    for (const { access, refresh } of [old, later]) {
      t.equal((await ask('GET', `${origin}/auth/me`, { token: access })).status, 200)
      t.equal((await ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: refresh } })).status, 200)
      const { body } = await ask('GET', `${origin}/.well-known/jwks.json`)
      const jwk = (body.keys as { kid: string; kty: string }[]).find(({ kid }) => kid === kidOf(access))!
      const verified = await jwtVerify(access, await importJWK(jwk, 'ES256'), {
        issuer: 'tollkeeper',
        audience: 'api',
        typ: 'at+jwt',
        requiredClaims: ['exp', 'iat', 'jti', 'sub', 'sid', 'ep', 'auth_time']
      })
      t.equal(verified.payload.sub, 'kesa')
    }
  }
)

t.test('a new file holds what the ring needs', async (t) => {
  t.equal(parseKeyFile('keys.json', writeKeys(newKeys(0)), 0o600).records.length, 3)
})
