import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import t from 'tap'
import { importJwk } from '../../services/identity/tokens/jwk.ts'
import { Verifier } from '../../services/identity/tokens/verifier.ts'

const now = 1_800_000_000
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwk = { ...publicKey.export({ format: 'jwk' }), alg: 'ES256', kid: 'k1' }
const key = importJwk(jwk)
let keys = { generation: {}, find: (kid: string) => (kid === 'k1' ? key : undefined) }
let clock = now * 1000
const rules = { issuer: 'gw', skew: 5, maxLifetime: 900 }
const newVerifier = () =>
  new Verifier(
    {
      get generation() {
        return keys.generation
      },
      find: (kid) => keys.find(kid),
      has: (kid) => keys.find(kid) !== undefined
    },
    rules,
    () => clock
  )

const header = { alg: 'ES256', typ: 'at+jwt', kid: 'k1' }
const claims = {
  iss: 'gw',
  sub: 'kesa',
  aud: 'api',
  iat: now,
  exp: now + 900,
  jti: 'j1',
  sid: 's1',
  ep: 0,
  scope: 'a b'
}

const base64url = (value: string | Buffer): string => Buffer.from(value).toString('base64url')
const signed = (head: string | Buffer, payload: string | Buffer, by: KeyObject = privateKey): string => {
  const input = `${base64url(head)}.${base64url(payload)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: by, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
const token = (change: object = {}, head: object = {}): string =>
  signed(JSON.stringify({ ...header, ...head }), JSON.stringify({ ...claims, ...change }))
const without = (name: keyof typeof claims): string => {
  const { [name]: _, ...rest } = claims
  return signed(JSON.stringify(header), JSON.stringify(rest))
}

/** A second spelling of the same bytes: the unused bits of the last character are set. */
const respelt = (good: string): string => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return good.slice(0, -1) + alphabet[alphabet.indexOf(good.at(-1)!) | 1]
}
const hmacToken = (secret: string | Buffer): string => {
  const input = `${base64url(JSON.stringify({ ...header, alg: 'HS256' }))}.${base64url(JSON.stringify(claims))}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

t.beforeEach(() => {
  clock = now * 1000
  keys = { generation: {}, find: (kid) => (kid === 'k1' ? key : undefined) }
})

t.test('takes a good token, also with an array of audiences and a media type as typ', async (t) => {
  const verifier = newVerifier()
  t.match(verifier.verify(token(), 'api'), { subject: 'kesa', session: 's1', scopes: ['a', 'b'] })
  t.match(verifier.verify(token({ aud: ['x', 'api'] }), 'api'), { subject: 'kesa' })
  t.match(verifier.verify(token({}, { typ: 'application/AT+JWT' }), 'api'), { subject: 'kesa' })
  t.match(verifier.verify(token({ nbf: now + 4 }), 'api'), { subject: 'kesa' }, 'clocks may differ a little')
})

t.test('a token that is known is for its audiences alone, whatever it was asked for before', async (t) => {
  const verifier = newVerifier()
  for (const aud of ['api', ['api', 'reports']]) {
    const known = token({ aud })
    for (const wanted of ['api', 'other', 'api', 'reports', 'other', 'reports', 'api', 'api']) {
      const found = verifier.verify(known, wanted)
      if ([aud].flat().includes(wanted)) t.match(found, { subject: 'kesa' }, `${aud}: ${wanted}`)
      else t.equal(found, 'claims.aud', `${aud}: ${wanted}`)
    }
  }
})

const good = token()
const [head = '', payload = '', signature = ''] = good.split('.')
const forged: Record<string, readonly [string, string]> = {
  'an empty string': ['', 'malformed'],
  'two segments': [`${head}.${payload}`, 'malformed'],
  'four segments': [`${good}.AA`, 'malformed'],
  'no signature': [`${head}.${payload}.`, 'malformed'],
  'more than 8 KiB': [token({ filler: 'x'.repeat(7000) }), 'malformed'],
  'another spelling of the signature': [respelt(good), 'malformed'],
  padding: [`${good}==`, 'malformed'],
  'a space inside': [`${head}. ${payload}.${signature}`, 'malformed'],
  'the alphabet of plain base64': [good.replace(/[-_]|.$/, '+'), 'malformed'],
  'alg none without signature': [
    `${base64url('{"alg":"none","typ":"at+jwt","kid":"k1"}')}.${payload}.`,
    'malformed'
  ],
  'alg none with a signature': [
    `${base64url('{"alg":"none","typ":"at+jwt","kid":"k1"}')}.${payload}.AAAA`,
    'alg'
  ],
  'HS256 with the public PEM as secret': [
    hmacToken(publicKey.export({ type: 'spki', format: 'pem' })),
    'alg'
  ],
  'HS256 with the public JWK as secret': [hmacToken(JSON.stringify(jwk)), 'alg'],
  'another algorithm of the family': [token({}, { alg: 'ES384' }), 'alg'],
  'alg in another case': [token({}, { alg: 'es256' }), 'alg'],
  'no alg': [signed('{"typ":"at+jwt","kid":"k1"}', JSON.stringify(claims)), 'malformed'],
  'no kid': [signed('{"alg":"ES256","typ":"at+jwt"}', JSON.stringify(claims)), 'kid'],
  'an unknown kid': [token({}, { kid: 'k2' }), 'kid.unknown'],
  'a kid that is a path': [token({}, { kid: '../../k1' }), 'kid'],
  'a kid with NUL': [token({}, { kid: 'k1\u0000' }), 'kid'],
  'a kid of the prototype': [token({}, { kid: 'constructor' }), 'kid.unknown'],
  crit: [token({}, { crit: ['exp'] }), 'malformed'],
  'an empty crit': [token({}, { crit: [] }), 'malformed'],
  'a falsy crit': [token({}, { crit: null }), 'malformed'],
  b64: [token({}, { b64: false }), 'malformed'],
  'its own key (jwk)': [
    signed(
      JSON.stringify({ ...header, jwk: stranger.publicKey.export({ format: 'jwk' }) }),
      JSON.stringify(claims),
      stranger.privateKey
    ),
    'malformed'
  ],
  'a key address (jku)': [token({}, { jku: 'http://127.0.0.1/jwks' }), 'malformed'],
  'a certificate (x5c)': [token({}, { x5c: [] }), 'malformed'],
  zip: [token({}, { zip: 'DEF' }), 'malformed'],
  'a header member twice': [
    signed('{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"k1"}', JSON.stringify(claims)),
    'malformed'
  ],
  'a header member twice, once escaped': [
    signed('{"\\u0061lg":"none","alg":"ES256","typ":"at+jwt","kid":"k1"}', JSON.stringify(claims)),
    'malformed'
  ],
  'a nested header': [token({}, { x: {} }), 'malformed'],
  'a header that is an array': [signed('[]', JSON.stringify(claims)), 'malformed'],
  'a header that is no UTF-8': [signed(Buffer.from([0x7b, 0xff, 0x7d]), JSON.stringify(claims)), 'malformed'],
  'a header with BOM': [signed(`\ufeff${JSON.stringify(header)}`, JSON.stringify(claims)), 'malformed'],
  'typ JWT': [token({}, { typ: 'JWT' }), 'malformed'],
  'no typ': [signed('{"alg":"ES256","kid":"k1"}', JSON.stringify(claims)), 'malformed'],
  'the signature of another key': [
    signed(JSON.stringify(header), JSON.stringify(claims), stranger.privateKey),
    'signature'
  ],
  'the signature of another token': [`${head}.${payload}.${token({ sub: 'x' }).split('.')[2]}`, 'signature'],
  'an altered payload': [
    `${head}.${base64url(JSON.stringify({ ...claims, sub: 'root' }))}.${signature}`,
    'signature'
  ],
  'a short signature': [`${head}.${payload}.${base64url(Buffer.alloc(63))}`, 'signature'],
  'a signature of zeros (psychic)': [`${head}.${payload}.${base64url(Buffer.alloc(64))}`, 'signature'],
  'a DER signature': [
    `${head}.${payload}.${sign('sha256', Buffer.from(`${head}.${payload}`), privateKey).toString('base64url')}`,
    'signature'
  ],
  'a claim twice': [
    signed(JSON.stringify(header), `{"sub":"root",${JSON.stringify(claims).slice(1)}`),
    'payload'
  ],
  'invalid UTF-8': [
    signed(
      JSON.stringify(header),
      Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])
    ),
    'payload'
  ],
  __proto__: [
    signed(JSON.stringify(header), `{"__proto__":{},${JSON.stringify(claims).slice(1)}`),
    'payload'
  ],
  'deep nesting': [signed(JSON.stringify(header), `{"x":${'['.repeat(40)}${']'.repeat(40)}}`), 'payload'],
  'a payload that is no object': [signed(JSON.stringify(header), '"kesa"'), 'payload'],
  'no exp': [without('exp'), 'claims.exp'],
  'exp as text': [token({ exp: String(now + 60) }), 'claims.exp'],
  'exp beyond numbers': [
    signed(JSON.stringify(header), JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e999')),
    'claims.exp'
  ],
  'exp as a fraction': [token({ exp: now + 0.5 }), 'claims.exp'],
  expired: [token({ iat: now - 600, exp: now - 5 }), 'claims.exp'],
  'a longer life than this gateway gives': [token({ exp: now + 901 }), 'claims.exp'],
  'not yet valid': [token({ nbf: now + 6 }), 'claims.nbf'],
  'nbf as text': [token({ nbf: '0' }), 'claims.nbf'],
  'issued in the future': [token({ iat: now + 6 }), 'claims.iat'],
  'no iat': [without('iat'), 'claims.iat'],
  'another issuer': [token({ iss: 'gw2' }), 'claims.iss'],
  'no issuer': [without('iss'), 'claims.iss'],
  'another audience': [token({ aud: 'other' }), 'claims.aud'],
  'an audience inside another': [token({ aud: 'api2' }), 'claims.aud'],
  'no audience': [without('aud'), 'claims.aud'],
  'an empty list of audiences': [token({ aud: [] }), 'claims.aud'],
  'no subject': [without('sub'), 'claims.sub'],
  'an empty subject': [token({ sub: '' }), 'claims.sub'],
  'a subject that is a list': [token({ sub: ['kesa'] }), 'claims.sub'],
  'no jti': [without('jti'), 'claims.form'],
  'a scope that is a list': [token({ scope: ['admin'] }), 'claims.form'],
  'an epoch as text': [token({ ep: '9' }), 'claims.form']
}

for (const [name, [bad, reason]] of Object.entries(forged)) {
  t.test(`refuses a token with ${name}`, async (t) => {
    const verifier = newVerifier()
    t.equal(verifier.verify(bad, 'api'), reason)
    t.equal(verifier.verify(bad, 'api'), reason, 'the second time as well')
    t.match(verifier.verify(good, 'api'), { subject: 'kesa' }, 'positive control')
  })
}

t.test('a token that is known still expires, still is for one audience, and dies with its key', async (t) => {
  const verifier = newVerifier()
  const first = verifier.verify(good, 'api')
  t.equal(verifier.verify(good, 'api'), first, 'the same object')
  t.equal(verifier.verify(good, 'other'), 'claims.aud')
  clock = (now + 899) * 1000
  t.equal(verifier.verify(good, 'api'), first, 'to the last second')
  clock = (now + 900) * 1000
  t.equal(verifier.verify(good, 'api'), 'claims.exp')
  clock = now * 1000
  t.match(verifier.verify(good, 'api'), { subject: 'kesa' })
  keys = { generation: {}, find: () => undefined }
  t.equal(verifier.verify(good, 'api'), 'kid.unknown')
})

t.test('claims are frozen, whoever gets them', async (t) => {
  const verified = newVerifier().verify(token({ roles: ['a'] }), 'api')
  if (typeof verified === 'string') throw new Error(verified)
  t.throws(() => Object.assign(verified.claims, { sub: 'root' }), TypeError)
  t.throws(() => (verified.scopes as string[]).push('admin'), TypeError)
  t.throws(() => (verified.claims.roles as string[]).push('admin'), TypeError)
})

t.test('forged tokens do not push valid ones out of memory', async (t) => {
  const verifier = newVerifier()
  const first = verifier.verify(good, 'api')
  for (let count = 0; count < 10_000; count += 1) verifier.verify(`${head}.${payload}.${count}`, 'api')
  t.equal(verifier.verify(good, 'api'), first)
})
