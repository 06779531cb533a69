import {
  constants,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  randomBytes,
  sign
} from 'node:crypto'
import { importJwk, KeyRefused, type VerifyKey } from '../tokens/jwk.ts'

/** Algorithms a new key may have (`auth.keys.algorithm`). */
export const newAlgorithms = ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256', 'PS256', 'HS256'] as const
export type NewAlgorithm = (typeof newAlgorithms)[number]

/** Algorithms a key that others made may have besides. */
export const signingAlgorithms = [
  ...newAlgorithms,
  'RS384',
  'RS512',
  'PS384',
  'PS512',
  'HS384',
  'HS512'
] as const
export type SigningAlgorithm = (typeof signingAlgorithms)[number]

/** A key that signs tokens, pinned to its one algorithm. */
export interface SigningKey extends VerifyKey {
  readonly kid: string
  readonly alg: SigningAlgorithm
  sign(input: string): Buffer
  /** The public members (RFC 7517), for others to verify with; undefined for a secret, which nobody may have. */
  readonly publicJwk: JsonWebKey | undefined
  /** The same key in the form that libraries take: PEM, or the bytes of a secret. */
  readonly signer: string | Buffer
  readonly checker: string | Buffer
}

const publicMembers = ['kty', 'crv', 'x', 'y', 'n', 'e'] as const
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const
const rsaBits = 2048

/** Takes a private JWK in, or refuses it: weak, ambiguous, or two halves that do not belong together. */
export function importSigningKey(jwk: JsonWebKey, kid: string, alg: string): SigningKey {
  if (!isSigningAlgorithm(alg)) throw new KeyRefused(`the algorithm "${alg}" is not for signing`)
  const key = jwk.kty === 'oct' ? secretKey(jwk, kid, alg) : keyPair(jwk, kid, alg)
  // A public half of another key would make tokens that nobody can verify.
  if (!key.verify(Buffer.from(kid), key.sign(kid))) {
    throw new KeyRefused('its public and its private half do not belong together')
  }
  return key
}

const isSigningAlgorithm = (alg: string): alg is SigningAlgorithm =>
  (signingAlgorithms as readonly string[]).includes(alg)

/** The members of a new key for an algorithm. */
export function generateKey(algorithm: NewAlgorithm): JsonWebKey & { readonly kty: string } {
  const jwk =
    algorithm === 'HS256'
      ? { kty: 'oct', k: randomBytes(32).toString('base64url') }
      : newPrivateKey(algorithm).export({ format: 'jwk' })
  return jwk as JsonWebKey & { readonly kty: string }
}

function newPrivateKey(algorithm: Exclude<NewAlgorithm, 'HS256'>): KeyObject {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    case 'ES384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
    case 'ES512':
      return generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey
    case 'RS256':
    case 'PS256':
      return generateKeyPairSync('rsa', { modulusLength: rsaBits }).privateKey
  }
}

function secretKey(jwk: JsonWebKey, kid: string, alg: SigningAlgorithm): SigningKey {
  const { verify } = importJwk({ kty: 'oct', k: jwk.k, kid, alg } as JsonWebKey)
  const secret = Buffer.from(jwk.k!, 'base64url')
  const key = createSecretKey(secret)
  const hash = `sha${alg.slice(2)}`
  return {
    kid,
    alg,
    verify,
    sign: (input) => createHmac(hash, key).update(input).digest(),
    publicJwk: undefined,
    signer: secret,
    checker: secret
  }
}

function keyPair(jwk: JsonWebKey, kid: string, alg: SigningAlgorithm): SigningKey {
  const publicJwk = pick(jwk, publicMembers)
  const { verify } = importJwk({ ...publicJwk, kid, alg } as JsonWebKey)
  const key = privateKey({ ...publicJwk, ...pick(jwk, privateMembers) })
  return {
    kid,
    alg,
    verify,
    sign: signerOf(alg, key),
    publicJwk,
    signer: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    checker: createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string
  }
}

function privateKey(jwk: JsonWebKey): KeyObject {
  try {
    return createPrivateKey({ key: jwk, format: 'jwk' })
  } catch {
    throw new KeyRefused('it is not a whole private key')
  }
}

function signerOf(alg: string, key: KeyObject): SigningKey['sign'] {
  if (alg === 'EdDSA') return (input) => sign(null, Buffer.from(input), key)
  const hash = `sha${alg.slice(2)}`
  const options = {
    ES: { key, dsaEncoding: 'ieee-p1363' as const },
    RS: { key, padding: constants.RSA_PKCS1_PADDING },
    PS: { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  }[alg.slice(0, 2) as 'ES' | 'RS' | 'PS']
  return (input) => sign(hash, Buffer.from(input), options)
}

const pick = (jwk: JsonWebKey, names: readonly (keyof JsonWebKey)[]): JsonWebKey =>
  Object.fromEntries(names.filter((name) => jwk[name] !== undefined).map((name) => [name, jwk[name]]))
