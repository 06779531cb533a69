import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { newKeys, writeKeys } from '../../services/identity/keys/key-file.ts'
import type { KeyRecord } from '../../services/identity/keys/key-record.ts'
import { KeyRing } from '../../services/identity/keys/key-ring.ts'
import { generateKey, newAlgorithms } from '../../services/identity/keys/signing-key.ts'
import type { VerifyKey } from '../../services/identity/tokens/jwk.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { usersFile } from '../support/users.ts'

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']
const auth = { users: { driver: 'file', path: 'users.json' } }
const users = await usersFile({ kesa: { password: '123' } })

for (const algorithm of newAlgorithms) {
  t.test(`${algorithm}: a gateway makes such a key, signs with it and takes what it signed`, async (t) => {
    const { origin, gateway } = await startGateway(
      t,
      { auth: { ...auth, keys: { path: 'keys.json', algorithm } }, routes: [] },
      { files: { 'users.json': users } }
    )
    t.ok(gateway)
    const login = await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })
    const token = String(login.body.access_token)
    t.match(headerOf(token), { alg: algorithm, typ: 'at+jwt', kid: /^[0-9a-f]{16}$/ })
    t.equal((await ask('GET', `${origin}/auth/me`, { token })).status, 200)
    t.equal((await ask('GET', `${origin}/auth/me`, { token: `${token}A` })).status, 401)
    const { body } = await ask('GET', `${origin}/.well-known/jwks.json`)
    const keys = body.keys as Record<string, unknown>[]
    for (const key of keys) for (const name of privateMembers) t.notOk(Object.hasOwn(key, name), name)
    if (algorithm === 'HS256') {
      t.same(keys, [], 'a secret has nothing that may be public')
      return
    }
    const verified = await jwtVerify(token, createLocalJWKSet({ keys } as never), { algorithms: [algorithm] })
    t.equal(verified.payload.sub, 'kesa')
  })

  t.test(`${algorithm}: the ring signs any claims at once`, async (t) => {
    const ring = await ringOf(t, [...newKeys(0, algorithm)])
    const token = ring.sign({ sub: 'kesa', aud: 'orders', exp: 4_000_000_000 }, { typ: 'assertion+jwt' })
    t.match(headerOf(token), { alg: algorithm, typ: 'assertion+jwt', kid: ring.active().kid })
    const [header, payload, signature] = token.split('.')
    const key = ring.find(ring.active().kid) as VerifyKey
    const isGood = key.verify(Buffer.from(`${header}.${payload}`), Buffer.from(signature!, 'base64url'))
    t.ok(isGood)
  })
}

t.test('keys that other tools made are taken, with the members these write', async (t) => {
  for (const alg of ['RS256', 'RS512', 'PS384', 'ES384', 'EdDSA'] as const) {
    const { privateKey } = await generateKeyPair(alg, { extractable: true })
    const jwk = {
      ...(await exportJWK(privateKey)),
      kid: 'made.elsewhere',
      alg,
      use: 'sig',
      key_ops: ['sign'],
      ext: true
    }
    const ring = await ringOf(t, withSignature(jwk as unknown as KeyRecord))
    t.equal(ring.active().kid, 'made.elsewhere')
    t.equal(headerOf(ring.sign({}, { typ: 'x' })).alg, alg)
  }
})

t.test(
  'a weak or ambiguous key refuses to start, in one sentence that names file, key and reason',
  async (t) => {
    const es = generateKey('ES256')
    const rsa = generateKey('RS256')
    const short = await exportJWK((await shortRSA()).privateKey as never)
    const cases: Record<string, [Record<string, unknown>, RegExp]> = {
      'a short RSA key': [{ ...short, alg: 'RS256' }, /shorter than 2048 bits/],
      'an RSA key for an elliptic algorithm': [
        { ...rsa, alg: 'ES256' },
        /key type RSA does not go with ES256/
      ],
      'an elliptic key for RSA': [{ ...es, alg: 'PS256' }, /key type EC does not go with PS256/],
      'a curve that is not the one of the algorithm': [{ ...es, alg: 'ES384' }, /another curve than P-384/],
      'a secret that is shorter than its hash': [
        { kty: 'oct', k: Buffer.alloc(47, 1).toString('base64url'), alg: 'HS384' },
        /shorter than HS384 needs/
      ],
      'a public key': [{ ...es, d: undefined, alg: 'ES256' }, /not a whole private key/],
      'halves of two keys': [
        { ...es, d: generateKey('ES256').d, alg: 'ES256' },
        /do not belong together|not a/
      ],
      'RSA without its primes': [
        { kty: 'RSA', n: rsa.n, e: rsa.e, d: rsa.d, alg: 'RS256' },
        /not a whole private key/
      ],
      'no algorithm at all': [{ ...es, alg: 'none' }, /the algorithm "none" is not for signing/],
      'an algorithm nobody knows': [{ ...es, alg: 'ES257' }, /the algorithm "ES257" is not for signing/]
    }
    for (const [name, [jwk, reason]] of Object.entries(cases)) {
      const message = await refusal(t, withSignature({ ...jwk, kid: 'weak', use: 'sig' } as never))
      t.match(message, reason, name)
      t.match(
        message,
        /^\S+keys\.json: the key "weak" cannot be used, since [^\n]+; replace it or take it out\.$/
      )
    }
  }
)

t.test('a file in which every key is over or revoked refuses to start, and says what to run', async (t) => {
  const past = Date.now() - 1000
  for (const change of [{ verifyUntil: past }, { revokedAt: past }]) {
    const keys = newKeys(0).map((key) => (key.use === 'sig' ? { ...key, ...change } : key))
    t.match(await refusal(t, keys), /keys\.json has no key in force for "sig"; run "toll key rotate --now"/)
  }
  const twice = newKeys(0)
  t.match(
    await refusal(t, [...twice, twice[0]!]),
    /two keys with the kid "[0-9a-f]{16}"; give one of them another\.$/
  )
})

function pathWith(t: Test, keys: readonly KeyRecord[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-keys-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  mkdirSync(directory, { recursive: true })
  const path = join(directory, 'keys.json')
  writeFileSync(path, writeKeys(keys))
  chmodSync(path, 0o600)
  return path
}

async function ringOf(t: Test, keys: readonly KeyRecord[]): Promise<KeyRing> {
  const ring = await KeyRing.open(pathWith(t, keys))
  t.teardown(() => ring.close())
  return ring
}

const refusal = (t: Test, keys: readonly KeyRecord[]): Promise<string> =>
  KeyRing.open(pathWith(t, keys)).then(
    (ring) => {
      ring.close()
      return 'it was taken'
    },
    ({ message }: Error) => message
  )

const withSignature = (key: KeyRecord): KeyRecord[] => [key, ...newKeys(0).filter(({ use }) => use !== 'sig')]

const headerOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()) as Record<string, unknown>

async function shortRSA() {
  const { generateKeyPairSync } = await import('node:crypto')
  return generateKeyPairSync('rsa', { modulusLength: 1024 })
}
