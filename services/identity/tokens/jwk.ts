import {
  constants,
  createHmac,
  createPublicKey,
  createSecretKey,
  type JsonWebKey,
  type KeyObject,
  timingSafeEqual,
  verify
} from 'node:crypto'
import { isCanonical } from './base64url.ts'
import { isRoca } from './roca.ts'

/** A key that verifies, pinned to its one algorithm: what a token's header says never chooses how it is verified. */
export interface VerifyKey {
  readonly kid: string | undefined
  readonly alg: string
  verify(input: Uint8Array, signature: Uint8Array): boolean
}

/** Why a key cannot be used, in a sentence that names no part of the key. */
export class KeyRefused extends Error {
  override readonly name = 'KeyRefused'
}

interface Curve {
  readonly crv: string
  readonly hash: string
  readonly bytes: number
}

const curves: Readonly<Record<string, Curve>> = {
  ES256: { crv: 'P-256', hash: 'sha256', bytes: 64 },
  ES384: { crv: 'P-384', hash: 'sha384', bytes: 96 },
  ES512: { crv: 'P-521', hash: 'sha512', bytes: 132 }
}
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
const kidPattern = /^[A-Za-z0-9._~-]{1,64}$/

export const isKid = (kid: unknown): kid is string => typeof kid === 'string' && kidPattern.test(kid)

/** Takes a JWK (RFC 7517) in for verification, or refuses it: weak, ambiguous, or not for signatures. */
export function importJwk(jwk: JsonWebKey, algorithm?: string): VerifyKey {
  const { kty, use, key_ops: operations, kid, alg: named } = jwk as Readonly<Record<string, unknown>>
  if (use !== undefined && use !== 'sig') throw new KeyRefused('the key is not for signatures ("use")')
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    throw new KeyRefused('the key is not for verifying ("key_ops")')
  }
  if (kid !== undefined && typeof kid !== 'string') throw new KeyRefused('"kid" has to be a string')
  if (named !== undefined && typeof named !== 'string') throw new KeyRefused('"alg" has to be a string')
  if (named !== undefined && algorithm !== undefined && named !== algorithm) {
    throw new KeyRefused(`the key is for ${named}, not ${algorithm}`)
  }
  const alg = named ?? algorithm ?? impliedAlgorithm(jwk)
  const family = alg.slice(0, 2)
  if (kty === 'oct' && family === 'HS') return { kid, alg, verify: hmac(jwk, alg) }
  if (kty !== 'oct' && privateMembers.some((name) => Object.hasOwn(jwk, name))) {
    throw new KeyRefused('a private key where a public key belongs')
  }
  if (kty === 'EC' && curves[alg] !== undefined) return { kid, alg, verify: ecdsa(jwk, curves[alg]) }
  if (kty === 'RSA' && (family === 'RS' || family === 'PS')) return { kid, alg, verify: rsa(jwk, alg) }
  if (kty === 'OKP' && (alg === 'EdDSA' || alg === 'Ed25519')) return { kid, alg, verify: eddsa(jwk) }
  throw new KeyRefused(`key type ${String(kty)} does not go with ${alg}`)
}

/** A curve has one algorithm; RSA and oct keys have several, so they must say which. */
function impliedAlgorithm({ kty, crv }: JsonWebKey): string {
  if (kty === 'OKP' && crv === 'Ed25519') return 'EdDSA'
  const found = kty === 'EC' && Object.entries(curves).find(([, curve]) => curve.crv === crv)
  if (!found) throw new KeyRefused('the key does not say its algorithm ("alg")')
  return found[0]
}

function publicKey(jwk: JsonWebKey): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    throw new KeyRefused('the key is not a valid public key')
  }
}

function ecdsa(jwk: JsonWebKey, { crv, hash, bytes }: Curve): VerifyKey['verify'] {
  if (jwk.crv !== crv) throw new KeyRefused(`the key is on another curve than ${crv}`)
  const key = { key: publicKey(jwk), dsaEncoding: 'ieee-p1363' as const }
  return (input, signature) => signature.length === bytes && verify(hash, input, key, signature)
}

function eddsa(jwk: JsonWebKey): VerifyKey['verify'] {
  if (jwk.crv !== 'Ed25519') throw new KeyRefused('the key is on another curve than Ed25519')
  const key = publicKey(jwk)
  return (input, signature) => signature.length === 64 && verify(null, input, key, signature)
}

function rsa(jwk: JsonWebKey, alg: string): VerifyKey['verify'] {
  const hash = shaOf(alg)
  const key = publicKey(jwk)
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < 2048) throw new KeyRefused('the RSA key is shorter than 2048 bits')
  if (publicExponent < 3n || publicExponent % 2n === 0n) throw new KeyRefused('the RSA exponent is unsafe')
  if (isRoca(BigInt(`0x${Buffer.from(jwk.n!, 'base64url').toString('hex')}`))) {
    throw new KeyRefused('the RSA key is of a kind that can be factored (CVE-2017-15361)')
  }
  const bytes = Math.ceil(modulusLength / 8)
  const options = alg.startsWith('PS')
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : { key, padding: constants.RSA_PKCS1_PADDING }
  return (input, signature) => signature.length === bytes && verify(hash, input, options, signature)
}

function hmac(jwk: JsonWebKey, alg: string): VerifyKey['verify'] {
  const hash = shaOf(alg)
  const { k } = jwk
  if (typeof k !== 'string' || !isCanonical(k)) throw new KeyRefused('the secret is not base64url')
  const secret = Buffer.from(k, 'base64url')
  if (secret.length < Number(alg.slice(2)) / 8) {
    throw new KeyRefused(`the secret is shorter than ${alg} needs (RFC 7518 3.2)`)
  }
  const key = createSecretKey(secret)
  return (input, signature) => {
    const expected = createHmac(hash, key).update(input).digest()
    return expected.length === signature.length && timingSafeEqual(expected, signature)
  }
}

function shaOf(alg: string): string {
  if (!/^(HS|RS|PS)(256|384|512)$/.test(alg)) throw new KeyRefused(`the algorithm "${alg}" is not known`)
  return `sha${alg.slice(2)}`
}
