import {
  createHmac,
  createSecretKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject
} from 'node:crypto'
import { CompactSign } from 'jose'
import t from 'tap'
import { verifyCompact } from '../../services/identity/tokens/verify-compact.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve })
const ed25519 = generateKeyPairSync('ed25519')
const secret = createSecretKey(Buffer.alloc(64, 7))

const signers: Record<string, { privateKey: KeyObject; publicKey: KeyObject }> = {
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  ES256: ec('P-256'),
  ES384: ec('P-384'),
  ES512: ec('P-521'),
  EdDSA: ed25519,
  Ed25519: ed25519,
  HS256: { privateKey: secret, publicKey: secret },
  HS384: { privateKey: secret, publicKey: secret },
  HS512: { privateKey: secret, publicKey: secret }
}
const jwkOf = (alg: string): JsonWebKey & { alg: string } => ({
  ...signers[alg]!.publicKey.export({ format: 'jwk' }),
  alg
})
const sign = (alg: string, payload = '{"sub":"kesa"}', header = {}): Promise<string> =>
  new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg, ...header }).sign(signers[alg]!.privateKey)

for (const alg of Object.keys(signers)) {
  t.test(`${alg}: takes what another library signed, and nothing else`, async (t) => {
    const jws = await sign(alg)
    const key = jwkOf(alg)
    t.match(verifyCompact(jws, key), { valid: true, claims: { sub: 'kesa' }, header: { alg } })
    const { alg: _, ...unnamed } = key
    t.match(verifyCompact(jws, unnamed, { algorithm: alg }), { valid: true })
    const [head, payload, signature = ''] = jws.split('.')
    const flipped = (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)
    t.same(verifyCompact(`${head}.${payload}.${flipped}`, key), { valid: false, reason: 'signature' })
    t.same(verifyCompact(`${head}.${payload}.${signature.slice(0, -4)}`, key).valid, false)
    t.same(verifyCompact(`${head}.e30.${signature}`, key), { valid: false, reason: 'signature' })
    for (const other of Object.keys(signers).filter((name) => name !== alg)) {
      t.equal(verifyCompact(jws, jwkOf(other)).valid, false, `with a key for ${other}`)
    }
  })
}

t.test("kid and typ have to be the key's and the caller's, where both say one", async (t) => {
  const jws = await sign('ES256', '{}', { kid: 'a@b', typ: 'JWT' })
  const key = jwkOf('ES256')
  t.equal(verifyCompact(jws, { ...key, kid: 'a@b' }).valid, true)
  t.same(verifyCompact(jws, { ...key, kid: 'b' }), { valid: false, reason: 'kid' })
  t.equal(verifyCompact(jws, key, { types: ['at+jwt', 'jwt'] }).valid, true)
  t.same(verifyCompact(jws, key, { types: ['at+jwt'] }), { valid: false, reason: 'typ' })
})

t.test('a payload that is no JSON verifies, and has no claims', async (t) => {
  t.match(verifyCompact(await sign('ES256', 'hello'), jwkOf('ES256')), { valid: true, claims: undefined })
})

t.test('keys that are weak, private, ambiguous or for something else are refused', async (t) => {
  const jws = await sign('ES256')
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
  const { publicKey: es256 } = signers.ES256!
  const oct = (bytes: number) => ({ kty: 'oct', k: Buffer.alloc(bytes, 1).toString('base64url') })
  const keys: Record<string, JsonWebKey> = {
    'RSA of 1024 bits': { ...small, alg: 'RS256' },
    'an even RSA exponent': { ...jwkOf('RS256'), e: 'Ag' },
    'an RSA exponent of 1': { ...jwkOf('RS256'), e: 'AQ' },
    'a short HMAC secret': { ...oct(31), alg: 'HS256' },
    'an HMAC secret shorter than its hash': { ...oct(32), alg: 'HS512' },
    'a secret in plain base64': { kty: 'oct', k: `${'+/'.repeat(30)}==`, alg: 'HS256' },
    'an EC key on another curve': { ...ec('secp256k1').publicKey.export({ format: 'jwk' }), alg: 'ES256' },
    'an algorithm of another curve': { ...es256.export({ format: 'jwk' }), alg: 'ES384' },
    'an algorithm of another type': { ...es256.export({ format: 'jwk' }), alg: 'RS256' },
    'HMAC with an EC key': { ...es256.export({ format: 'jwk' }), alg: 'HS256' },
    'alg none': { ...jwkOf('ES256'), alg: 'none' },
    'an unknown algorithm': { ...jwkOf('RS256'), alg: 'RS257' },
    'a private key': { ...signers.ES256!.privateKey.export({ format: 'jwk' }), alg: 'ES256' },
    'a key for encryption': { ...jwkOf('ES256'), use: 'enc' },
    'a key for signing only': { ...jwkOf('ES256'), key_ops: ['sign'] },
    'a kid that is a number': { ...jwkOf('ES256'), kid: 7 } as never,
    'an RSA key without algorithm': rsa.publicKey.export({ format: 'jwk' }),
    'a secret without algorithm': oct(64),
    'a point that is not on the curve': { ...jwkOf('ES256'), x: Buffer.alloc(32, 1).toString('base64url') },
    'no key type': { alg: 'ES256' }
  }
  for (const [name, key] of Object.entries(keys)) {
    t.same(verifyCompact(jws, key), { valid: false, reason: 'key' }, name)
  }
  t.same(verifyCompact(jws, jwkOf('ES256'), { algorithm: 'ES384' }), { valid: false, reason: 'key' })
  t.match(
    verifyCompact(jws, es256.export({ format: 'jwk' })),
    { valid: true },
    'a curve has one algorithm only'
  )
})

t.test('an HMAC over the public key does not pass for its signature', async (t) => {
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  const input = `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.e30`
  const forged = `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`
  t.same(verifyCompact(forged, jwkOf('RS256')), { valid: false, reason: 'alg' })
})
