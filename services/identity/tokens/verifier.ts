import { type AccessClaims, type ClaimRules, checkClaims, checkTimes, hasAudience } from './claims.ts'
import { type Header, openPayload, type Reason, readHeader, splitCompact } from './compact.ts'
import { isKid, type VerifyKey } from './jwk.ts'
import type { JSONObject } from './strict-json.ts'
import { isType } from './verify-compact.ts'

/** A token that was verified. Frozen with all it holds: every request with the same token gets the same object. */
export interface Verified {
  readonly subject: string
  readonly session: string | undefined
  readonly scopes: readonly string[]
  readonly claims: AccessClaims
  /** The key that signed it. */
  readonly kid: string
  /** Whether this gateway's own issuer vouches for it. */
  readonly isOwn: boolean
  /** performance.now() when this gateway verified it first; undefined where that is not known. */
  readonly verifiedAt?: number
}

export interface VerifierKeys {
  readonly generation: object
  find(kid: string): VerifyKey | undefined
  /** Whether there is or was such a key. */
  has(kid: string): boolean
}

interface Known {
  readonly verified: Verified
  readonly generation: object
}

const maxKnown = 8192
const maxHeaders = 64

/**
 * Verifies access tokens. The order of the steps is the security property: size, spelling, header, key, signature, and only then
 * payload and claims. A token seen before skips the signature, never the checks that time or the route decide.
 */
export class Verifier {
  readonly #keys: VerifierKeys
  readonly #rules: ClaimRules
  readonly #now: () => number
  readonly #known = new Map<string, Known>()
  readonly #headers = new Map<string, Header>()

  constructor(keys: VerifierKeys, rules: ClaimRules, now: () => number) {
    this.#keys = keys
    this.#rules = rules
    this.#now = now
  }

  verify(token: string, audience: string): Verified | Reason {
    const now = this.#now() / 1000
    const verified = this.#recall(token) ?? this.#verifyNew(token, now)
    if (typeof verified === 'string') return verified
    const { claims } = verified
    const wrong = checkTimes(claims, this.#rules.skew, now)
    if (wrong !== undefined) {
      this.#known.delete(token)
      return wrong
    }
    return hasAudience(claims.aud, audience) ? verified : 'claims.aud'
  }

  #recall(token: string): Verified | undefined {
    const known = this.#known.get(token)
    if (known === undefined) return undefined
    if (known.generation === this.#keys.generation) return known.verified
    this.#known.delete(token)
    return undefined
  }

  #verifyNew(token: string, now: number): Verified | Reason {
    const segments = splitCompact(token)
    if (segments === undefined) return 'malformed'
    const header = this.#header(segments[0])
    if (header === undefined) return 'malformed'
    if (!isType(header.typ, 'at+jwt')) return 'malformed'
    if (!isKid(header.kid)) return 'kid'
    const key = this.#keys.find(header.kid)
    if (key === undefined) return this.#keys.has(header.kid) ? 'kid' : 'kid.unknown'
    if (header.alg !== key.alg) return 'alg'
    const payload = openPayload(segments, key)
    if (typeof payload === 'string') return payload
    const claims = checkClaims(payload, this.#rules, now)
    if (typeof claims === 'string') return claims
    const verified = freeze(claims, header.kid)
    this.#remember(token, { verified, generation: this.#keys.generation })
    return verified
  }

  #header(segment: string): Header | undefined {
    const known = this.#headers.get(segment)
    if (known !== undefined) return known
    const header = readHeader(segment)
    if (header !== undefined) remember(this.#headers, segment, header, maxHeaders)
    return header
  }

  /** Only what passed every check gets here, so forged tokens cannot push valid ones out. */
  #remember(token: string, known: Known): void {
    remember(this.#known, token, known, maxKnown)
  }
}

/** Adds to a bounded map; the oldest entry makes room. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  if (map.size >= max) map.delete(map.keys().next().value as string)
  map.set(key, value)
}

function freeze(claims: AccessClaims, kid: string): Verified {
  return Object.freeze({
    subject: claims.sub,
    session: claims.sid,
    scopes: Object.freeze(claims.scope === undefined || claims.scope === '' ? [] : claims.scope.split(' ')),
    claims: deepFreeze(claims),
    kid,
    isOwn: true,
    verifiedAt: performance.now()
  })
}

function deepFreeze<Value extends JSONObject>(value: Value): Value {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) deepFreeze(member as JSONObject)
  }
  return Object.freeze(value)
}
