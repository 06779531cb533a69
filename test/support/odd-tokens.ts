import { createHash, createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { base64url, seconds, type Target } from './forger.ts'

const json = JSON.stringify
/** Of the group of P-256. */
const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
const bytesOf = (...numbers: bigint[]): Buffer =>
  Buffer.from(numbers.map((number) => number.toString(16).padStart(64, '0')).join(''), 'hex')
const numbersOf = (bytes: Buffer): readonly [bigint, bigint] => [
  BigInt(`0x${bytes.subarray(0, 32).toString('hex')}`),
  BigInt(`0x${bytes.subarray(32).toString('hex')}`)
]

/** The same token with the other signature that the same key verifies: (r, n - s). */
export function twinOf(token: string): string {
  const [header, payload, signature = ''] = token.split('.')
  const [r, s] = numbersOf(Buffer.from(signature, 'base64url'))
  return `${header}.${payload}.${base64url(bytesOf(r, order - s))}`
}

/** The longest good token that is taken, and the next longer one. */
export function aroundLimit(token: Target['token']): { readonly within: string; readonly beyond: string } {
  let within = ''
  for (let filler = 'x'.repeat(5500); ; filler += 'x') {
    const next = token({ filler, jti: 'long' })
    if (next.length > 8192) return { within, beyond: next }
    within = next
  }
}

/** Tokens that must not pass, by why and by what is odd about them. */
export function oddTokens(
  { good, jwk, key, token, signed, claims }: Target,
  refresh: string
): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { d: _secret, ...publicJwk } = jwk
  const [head = '', payload = '', signature = ''] = good.split('.')

  const usual = { alg: 'ES256', typ: 'at+jwt', kid: jwk.kid }
  const plain = () => json(claims())
  /** A token with this text as its header. */
  const headed = (text: string | Buffer) => signed(text, plain())
  /** A token with this text as its payload. */
  const claimed = (text: string | Buffer) => signed(json(usual), text)
  /** A token whose payload has this member beside or instead of the usual one. */
  const withMember = (name: string, text: string) => {
    const { [name]: _, ...rest } = claims()
    return claimed(`{"${name}":${text},${json(rest).slice(1)}`)
  }
  const unsigned = (alg: string) => `${base64url(json({ ...usual, alg }))}.${base64url(plain())}`
  const hmac = (secret: string | Buffer, alg = 'HS256') => {
    const input = unsigned(alg)
    return `${input}.${base64url(
      createHmac(`sha${alg.slice(2)}`, secret)
        .update(input)
        .digest()
    )}`
  }
  /** The good token with another signature. */
  const resigned = (bytes: Buffer) => `${head}.${payload}.${base64url(bytes)}`
  const raw = Buffer.from(signature, 'base64url')
  const [r, s] = numbersOf(raw)
  /** Sets unused bits of the last character: another spelling of the same bytes. */
  const respelt = (segment: string) => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    return segment.slice(0, -1) + alphabet[alphabet.indexOf(segment.at(-1)!) | 1]
  }
  /** A good token whose segment `at` has unused bits. */
  const loose = (at: number): string => {
    for (let filler = ''; ; filler += 'x') {
      const parts = headed(json({ ...usual, filler })).split('.')
      if (at === 1) parts.splice(0, 3, ...token({ filler }).split('.'))
      if (parts[at]!.length % 4 === 0) continue
      parts[at] = respelt(parts[at]!)
      return parts.join('.')
    }
  }
  const pem = stranger.publicKey.export({ type: 'spki', format: 'pem' }) as string
  const ownPem = () => {
    const { x, y } = publicJwk as { x: string; y: string }
    return {
      der: Buffer.concat([Buffer.from([4]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
    }
  }

  const malformed: Record<string, string> = {
    'no token': '',
    'one segment': head,
    'two segments': `${head}.${payload}`,
    'four segments': `${good}.AAAA`,
    'five segments, as JWE has': `${base64url('{"alg":"dir","enc":"A256GCM"}')}..AAAA.${payload}.AAAA`,
    'an empty header': `.${payload}.${signature}`,
    'an empty signature': `${head}.${payload}.`,
    'only dots': '..',
    'JSON serialisation': json({ payload, protected: head, signature }),
    'general JSON serialisation': json({ payload, signatures: [{ protected: head, signature }] }),
    'padding behind the header': `${head}=.${payload}.${signature}`,
    'padding behind the payload': `${head}.${payload}=.${signature}`,
    'padding behind the signature': `${good}==`,
    'plain base64': `${head}.${payload}.${signature.slice(0, -2)}+/`,
    'a space inside': `${head}. ${payload}.${signature}`,
    'a tab inside': `${head}.${payload}\t.${signature}`,
    'unused bits in the header': loose(0),
    'unused bits in the payload': loose(1),
    'unused bits in the signature': `${head}.${payload}.${respelt(signature)}`,
    'a lone last character': `${good}AAA`,
    'percent-encoding': good.replaceAll('.', '%2E'),
    'quotation marks': `"${good}"`,
    'more than 8 KiB': aroundLimit(token).beyond,
    'a long header': headed(json({ ...usual, filler: 'x'.repeat(1100) })),
    'alg none without a signature': `${unsigned('none')}.`,
    'no alg': headed(json({ ...usual, alg: undefined })),
    'alg null': headed(json({ ...usual, alg: null })),
    'alg as a list': headed(json({ ...usual, alg: ['ES256'] })),
    'a kid that is a number': headed(json({ ...usual, kid: 1 })),
    'a kid that is a list': headed(json({ ...usual, kid: [jwk.kid] })),
    'a kid that is null': headed(json({ ...usual, kid: null })),
    'its own key': signed(
      json({ ...usual, jwk: stranger.publicKey.export({ format: 'jwk' }) }),
      plain(),
      stranger.privateKey
    ),
    'an address of keys': token({}, { jku: 'http://127.0.0.1:1/keys' }, stranger.privateKey),
    'an address of certificates': token({}, { x5u: 'http://127.0.0.1:1/c' }, stranger.privateKey),
    certificates: token({}, { x5c: [base64url(pem)] }, stranger.privateKey),
    'crit of what it has': token({}, { crit: ['exp'], exp: 1 }),
    'crit of nothing': token({}, { crit: [] }),
    'crit null': token({}, { crit: null }),
    'crit false': token({}, { crit: false }),
    'b64 false': token({}, { b64: false, crit: ['b64'] }),
    'b64 true': token({}, { b64: true }),
    'zip DEF': token({}, { zip: 'DEF' }),
    'zip empty': token({}, { zip: '' }),
    'enc beside alg': headed(json({ ...usual, epk: {} })),
    'a nested member': token({}, { x: [] }),
    'alg twice': headed(`{"alg":"none",${json(usual).slice(1)}`),
    'alg twice, once escaped': headed(`{"\\u0061lg":"none",${json(usual).slice(1)}`),
    'kid twice, the good one last': headed(`{"kid":"x",${json(usual).slice(1)}`),
    '__proto__ in the header': headed(`{"__proto__":"x",${json(usual).slice(1)}`),
    'an escaped __proto__ in the header': headed(`{"\\u005f_proto__":"x",${json(usual).slice(1)}`),
    'a header that is a list': headed('[]'),
    'a header that is null': headed('null'),
    'a header that is a text': headed('"x"'),
    'a header with something behind': headed(`${json(usual)}{}`),
    'a header with a comment': headed(`${json(usual)}/**/`),
    'a header with BOM': headed(`\ufeff${json(usual)}`),
    'a header in UTF-16': headed(Buffer.from(json(usual), 'utf16le')),
    'a header that is no UTF-8': headed(Buffer.from(json({ ...usual, x: '\u00ff' }), 'latin1')),
    'typ JWT': token({}, { typ: 'JWT' }),
    'typ of an id token with two parts': token({}, { typ: 'id_token+jwt' }),
    'typ of a logout token': token({ events: {} }, { typ: 'logout+jwt' }),
    "typ of the gateway's assertions": token({}, { typ: 'gateway-assertion+jwt' }),
    'typ of a DPoP proof': token({}, { typ: 'dpop+jwt' }),
    'typ of a media type of text': token({}, { typ: 'text/at+jwt' }),
    'no typ': token({}, { typ: undefined }),
    'typ null': token({}, { typ: null }),
    'a refresh token': refresh,
    'a sealed cookie': `tls1.${jwk.kid}.${payload}.${signature}`
  }

  return {
    malformed,
    alg: {
      ...Object.fromEntries(
        ['none', 'None', 'NONE', 'nOnE', ' none', 'none\u0000', '', 'es256', 'ES256 ', 'ES256\u0000'].map(
          (alg) => [`alg ${json(alg)}`, `${unsigned(alg)}.${signature}`]
        )
      ),
      ...Object.fromEntries(
        [
          'ES384',
          'ES512',
          'ES256K',
          'EdDSA',
          'Ed25519',
          'RS256',
          'PS256',
          'RSA1_5',
          'dir',
          'constructor'
        ].map((alg) => [`alg ${alg}`, token({}, { alg })])
      ),
      'HS256 with the public JWK': hmac(json(publicJwk)),
      'HS256 with the public point': hmac(ownPem().der),
      'HS256 with nothing': hmac(''),
      'HS512 with the public JWK': hmac(json(publicJwk), 'HS512')
    },
    kid: {
      'no kid': headed(json({ ...usual, kid: undefined })),
      'an empty kid': token({}, { kid: '' }),
      'a kid that is a path': token({}, { kid: '../../../../dev/null' }),
      'a kid that is SQL': token({}, { kid: "x' UNION SELECT 'key'--" }),
      'a kid that is a command': token({}, { kid: '|id' }),
      'a kid with NUL': token({}, { kid: `${jwk.kid}\u0000` }),
      'a kid with a line break': token({}, { kid: `${jwk.kid}\n` }),
      'a kid with a space': token({}, { kid: ` ${jwk.kid}` }),
      'a kid of 65 characters': token({}, { kid: 'k'.repeat(65) }),
      'a kid of 900 characters': token({}, { kid: 'k'.repeat(900) }),
      'a kid in other letters': token({}, { kid: '\u212a1' })
    },
    'kid.unknown': {
      'a kid nobody has': token({}, { kid: 'nobody' }),
      'a kid of every object': token({}, { kid: 'constructor' }),
      'a kid toString': token({}, { kid: 'toString' }),
      'a kid in another case': token({}, { kid: `${jwk.kid}x` })
    },
    signature: {
      "a stranger's": token({}, {}, stranger.privateKey),
      'over nothing': `${head}..${signature}`,
      'that of another token': `${head}.${payload}.${token().split('.')[2]}`,
      'over another payload': `${head}.${base64url(json(claims({ sub: 'root' })))}.${signature}`,
      'over another header': `${base64url(json({ ...usual, x: 1 }))}.${payload}.${signature}`,
      zeros: resigned(Buffer.alloc(64)),
      'r is zero': resigned(bytesOf(0n, s)),
      's is zero': resigned(bytesOf(r, 0n)),
      'r and s are the order': resigned(bytesOf(order, order)),
      'r is r and the order (mod 2^256)': resigned(bytesOf((r + order) % (1n << 256n), s)),
      's is the order': resigned(bytesOf(r, order)),
      's is negated wrongly': resigned(bytesOf(r, order - s - 1n)),
      ones: resigned(Buffer.alloc(64, 0xff)),
      '1 and 1': resigned(bytesOf(1n, 1n)),
      'one byte less': resigned(raw.subarray(0, 63)),
      'one byte more': resigned(Buffer.concat([raw, Buffer.alloc(1)])),
      'of the length of ES384': resigned(Buffer.alloc(96, 1)),
      'one byte': resigned(Buffer.from([0])),
      DER: resigned(sign('sha256', Buffer.from(`${head}.${payload}`), key)),
      'over SHA-384': resigned(
        sign('sha384', Buffer.from(`${head}.${payload}`), { key, dsaEncoding: 'ieee-p1363' })
      ),
      'a plain hash': resigned(createHash('sha512').update(`${head}.${payload}`).digest())
    },
    payload: {
      'no payload': claimed(''),
      'no JSON': claimed('kesa'),
      'nothing behind JSON': claimed(`${plain()} x`),
      null: claimed('null'),
      'a list': claimed(`[${plain()}]`),
      'a text of JSON': claimed(json(plain())),
      BOM: claimed(`\ufeff${plain()}`),
      'UTF-16': claimed(Buffer.from(plain(), 'utf16le')),
      'no UTF-8': claimed(Buffer.from(json(claims({ x: '\u00e4' })), 'latin1')),
      'an encoded surrogate (CESU-8)': claimed(
        Buffer.concat([
          Buffer.from(`${plain().slice(0, -1)},"x":"`),
          Buffer.from([0xed, 0xa0, 0x80]),
          Buffer.from('"}')
        ])
      ),
      'half a character': claimed(json(claims({ sub: 'kesa\ud800' }))),
      'half a character in a name': withMember('\\udc00', '1'),
      'sub twice': claimed(`{"sub":"root",${plain().slice(1)}`),
      'sub twice, once escaped': claimed(`{"s\\u0075b":"root",${plain().slice(1)}`),
      'exp twice': claimed(`{"exp":99999999999,${plain().slice(1)}`),
      'a nested member twice': withMember('x', '{"a":1,"a":2}'),
      __proto__: withMember('__proto__', '{"scope":"admin"}'),
      'a nested __proto__': withMember('x', '{"__proto__":{}}'),
      'an escaped __proto__': withMember('\\u005f_proto__', '{}'),
      'deep nesting': withMember('x', '['.repeat(16) + ']'.repeat(16)),
      'very deep nesting': withMember('x', '['.repeat(2000) + ']'.repeat(2000)),
      'a control character': claimed(plain().replace('kesa', 'ke\u0001sa')),
      'a number with a leading zero': withMember('x', '01'),
      'NaN as a number': withMember('exp', 'NaN'),
      'a hexadecimal number': withMember('exp', '0xffffffff'),
      'a nested JWT': claimed(good)
    },
    'claims.exp': {
      ...Object.fromEntries(
        [
          '1e999',
          '-0',
          '-1',
          '0',
          '1.5',
          '"99999999999"',
          'null',
          '[]',
          '{}',
          'true',
          '9007199254740992',
          '1e308'
        ].map((text) => [`exp ${text}`, withMember('exp', text)])
      ),
      'no exp': token({ exp: undefined }),
      'exp now': token({ exp: seconds(), iat: seconds() - 10 }),
      'exp with a fraction': withMember('exp', `${seconds() + 60}.5`),
      'a longer life than is given here': token({ exp: seconds() + 901, iat: seconds() }),
      'a long life from long ago': token({ iat: seconds() - 100_000, exp: seconds() + 60 })
    },
    'claims.iat': {
      ...Object.fromEntries(
        ['1e999', '-1', '1.5', '"1"', 'null', '[]'].map((text) => [`iat ${text}`, withMember('iat', text)])
      ),
      'no iat': token({ iat: undefined }),
      'iat in the future': token({ iat: seconds() + 60, exp: seconds() + 120 })
    },
    'claims.nbf': {
      ...Object.fromEntries(
        ['1e999', '-1', '1.5', '"1"', 'null', '[]'].map((text) => [`nbf ${text}`, withMember('nbf', text)])
      ),
      'nbf in the future': token({ nbf: seconds() + 60 })
    },
    'claims.iss': {
      ...Object.fromEntries(
        [
          'Tollkeeper',
          'tollkeeper/',
          'tollkeeper ',
          '',
          'tollkeeper\u0000',
          'https://tollkeeper',
          ['tollkeeper'],
          null,
          {}
        ].map((iss) => [`iss ${json(iss)}`, token({ iss })])
      ),
      'no iss': token({ iss: undefined })
    },
    'claims.aud': {
      ...Object.fromEntries(
        [
          'API',
          'api ',
          'ap',
          'api2',
          '',
          'reports',
          ['API'],
          [],
          [['api']],
          ['api', 1],
          { api: true },
          null,
          1
        ].map((aud) => [`aud ${json(aud)}`, token({ aud })])
      ),
      'no aud': token({ aud: undefined }),
      'an audience of 256': token({ aud: ['api', 'x'.repeat(256)] })
    },
    'claims.sub': Object.fromEntries(
      [undefined, '', null, 0, ['kesa'], { kesa: 1 }, true, 'x'.repeat(256)].map((sub) => [
        `sub ${json(sub)?.slice(0, 20)}`,
        token({ sub })
      ])
    ),
    'claims.form': {
      ...Object.fromEntries(
        [['admin'], null, 1, { admin: 1 }].map((scope) => [`scope ${json(scope)}`, token({ scope })])
      ),
      ...Object.fromEntries([undefined, '', 1, null].map((jti) => [`jti ${json(jti)}`, token({ jti })])),
      ...Object.fromEntries(['0', -1, 0.5, null, 1e300].map((ep) => [`ep ${json(ep)}`, token({ ep })])),
      ...Object.fromEntries(['admin', [1], {}].map((roles) => [`roles ${json(roles)}`, token({ roles })])),
      'a sid that is a list': token({ sid: [claims().sid] }),
      'a client that is a list': token({ client_id: ['toll'] })
    },
    'claims.sid': {
      'no session': token({ sid: undefined }),
      'a session that cannot be one': token({ sid: '../x' })
    }
  }
}
