import type { JsonWebKey } from 'node:crypto'
import { importJwk, KeyRefused, type VerifyKey } from './jwk.ts'
import { type JSONObject, readObject } from './strict-json.ts'

/** The public keys of somebody else, by their kid. */
export interface KeySet {
  readonly keys: ReadonlyMap<string, VerifyKey>
  /** One sentence for each key that is left out, without any part of it. */
  readonly leftOut: readonly string[]
}

const maxKeys = 100
/** A kid is only ever looked up, so others may choose it freely, as long as it can stand in a log. */
const foreignKid = /^[\x21-\x7e]{1,256}$/

export const isForeignKid = (kid: unknown): kid is string => typeof kid === 'string' && foreignKid.test(kid)

/**
 * Reads a JWK set (RFC 7517 5) of public keys, each for one of `algorithms`. A set that gives a secret away, or that has a kid
 * twice, is refused whole: nobody can say which of its keys to trust. Keys that are weak or for something else are left out.
 * Throws KeyRefused.
 */
export function readKeySet(bytes: Uint8Array, algorithms: readonly string[]): KeySet {
  const found = readObject(bytes, 8)?.keys
  if (!Array.isArray(found)) throw new KeyRefused('this is no JWK set: it has no list "keys"')
  if (found.length > maxKeys) throw new KeyRefused(`the set has more than ${maxKeys} keys`)
  const keys = new Map<string, VerifyKey>()
  const leftOut: string[] = []
  for (const [index, jwk] of found.entries()) {
    try {
      const key = readKey(jwk, algorithms)
      if (keys.has(key.kid)) throw new SetRefused(`the set has the kid "${key.kid}" twice`)
      keys.set(key.kid, key)
    } catch (error) {
      if (error instanceof SetRefused) throw new KeyRefused(error.message)
      if (!(error instanceof KeyRefused)) throw error
      leftOut.push(`key ${index + 1}: ${error.message}`)
    }
  }
  return { keys, leftOut }
}

class SetRefused extends Error {}

const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

function readKey(jwk: unknown, algorithms: readonly string[]): VerifyKey & { readonly kid: string } {
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) throw new KeyRefused('it is no object')
  const key = jwk as JSONObject & JsonWebKey
  if (key.kty === 'oct' || secretMembers.some((name) => Object.hasOwn(key, name))) {
    throw new SetRefused('the set has a secret key in it, which everybody may have read by now')
  }
  if (!isForeignKid(key.kid)) throw new KeyRefused('it has no "kid" of 1 to 256 printable characters')
  const imported = importJwk(key, algorithmOf(key, algorithms))
  if (!algorithms.includes(imported.alg))
    throw new KeyRefused(`it is for ${imported.alg}, which is not taken`)
  return { ...imported, kid: key.kid }
}

/** An RSA key that does not say its algorithm gets the first one that is taken: it has to be for one only. */
function algorithmOf({ kty, alg }: JsonWebKey, algorithms: readonly string[]): string | undefined {
  if (kty !== 'RSA' || alg !== undefined) return undefined
  return algorithms.find((name) => name.startsWith('RS') || name.startsWith('PS'))
}
