import type { JsonWebKey } from 'node:crypto'
import { openPayload, readHeader, splitCompact } from './compact.ts'
import { importJwk } from './jwk.ts'
import { type JSONObject, readObject } from './strict-json.ts'

export interface VerifyCompactOptions {
  /** The algorithm, for a key that does not say its own. */
  readonly algorithm?: string
  /** The `typ` values to take, compared without case and without `application/`; any when left out. */
  readonly types?: readonly string[]
}

export type VerifyCompactResult =
  | {
      readonly valid: true
      readonly header: JSONObject
      readonly payload: Uint8Array
      /** The payload as claims, when it is a JSON object that a JWT may have. */
      readonly claims: JSONObject | undefined
    }
  | { readonly valid: false; readonly reason: 'key' | 'malformed' | 'alg' | 'kid' | 'typ' | 'signature' }

/**
 * Verifies one compact JWS (RFC 7515) with one JWK by the rules the gateway itself uses, so that others can test them. It says
 * nothing about claims: times, issuer and audience are for the caller.
 */
export function verifyCompact(
  jws: string,
  jwk: JsonWebKey,
  options: VerifyCompactOptions = {}
): VerifyCompactResult {
  let key: ReturnType<typeof importJwk>
  try {
    key = importJwk(jwk, options.algorithm)
  } catch {
    return { valid: false, reason: 'key' }
  }
  const segments = splitCompact(jws)
  const header = segments && readHeader(segments[0])
  if (segments === undefined || header === undefined) return { valid: false, reason: 'malformed' }
  if (header.alg !== key.alg) return { valid: false, reason: 'alg' }
  if (header.kid !== undefined && key.kid !== undefined && header.kid !== key.kid) {
    return { valid: false, reason: 'kid' }
  }
  if (options.types !== undefined && !options.types.some((type) => isType(header.typ, type))) {
    return { valid: false, reason: 'typ' }
  }
  const payload = Buffer.from(segments[1], 'base64url')
  const opened = openPayload(segments, key)
  if (opened === 'signature') return { valid: false, reason: 'signature' }
  return {
    valid: true,
    header: readObject(Buffer.from(segments[0], 'base64url'), 1) ?? {},
    payload,
    claims: typeof opened === 'string' ? undefined : opened
  }
}

/** RFC 7515 4.1.9: a media type, without case, whose `application/` may be left out. */
export const isType = (typ: string | undefined, wanted: string): boolean =>
  typ !== undefined && typ.toLowerCase().replace(/^application\//, '') === wanted.toLowerCase()
