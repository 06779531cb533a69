import type { HolderNotes } from '../holder-notes.ts'
import { type AccessClaims, type ClaimRules, checkTimes, hasAudience } from './claims.ts'
import { type Header, openPayload, type Reason, readHeader, readPayload, splitCompact } from './compact.ts'
import type { VerifyKey } from './jwk.ts'
import { type Known, KnownTokens, remember } from './known-tokens.ts'
import { OwnIssuer } from './own-issuer.ts'
import type { JSONObject } from './strict-json.ts'
import { openUserPayload, type UserKeys } from './user-key.ts'

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
  readonly notes?: HolderNotes
}

export interface VerifierKeys {
  readonly generation: object
  find(kid: string): VerifyKey | UserKeys | undefined
  /** Whether there is or was such a key. */
  has(kid: string): boolean
}

/** The keys of an issuer, as far as they are at hand. */
export interface IssuerKeys {
  /** Another object whenever the keys are others. */
  readonly generation: object
  find(kid: string): VerifyKey | UserKeys | undefined
  /** What becomes of a token with a kid that is not known; a promise where its key may yet come. */
  missing(kid: string): 'kid' | 'kid.unknown' | 'issuer.unavailable' | Promise<void>
}

/** Who signs tokens, and what theirs have to be like. */
export interface TokenIssuer {
  readonly name: string
  readonly rules: ClaimRules
  readonly keys: IssuerKeys
  /** Why a header cannot be one of this issuer. */
  refuses(header: Header): Reason | undefined
  /** The audience that lets a token of this issuer pass where a route wants `wanted`. */
  audienceFor(wanted: string, usual: string): string
  /** Reads claims whose signature holds. */
  read(claims: JSONObject, kid: string, now: number): Verified | Reason
}

/** What a route asks of a token. */
export interface TokenWish {
  readonly audience: string
  /** Names of the issuers whose tokens are taken; only the gateway's own when left out. */
  readonly issuers?: 'all' | readonly string[]
}

/** A token that needs a key nobody has yet. */
class Missing {
  readonly issuer: TokenIssuer
  readonly missing: string

  constructor(issuer: TokenIssuer, missing: string) {
    this.issuer = issuer
    this.missing = missing
  }
}

const maxHeaders = 64
const ownOnly = ['own']

/**
 * Verifies access tokens. The order of the steps is the security property: size, spelling, header, key, signature, and only then
 * payload and claims; where users have keys of their own the payload says whose, and is read first. A token seen before skips the signature, never the checks that time or the route decide.
 */
export class Verifier {
  readonly #own: OwnIssuer
  readonly #foreign: ReadonlyMap<string, TokenIssuer>
  readonly #audience: string
  readonly #now: () => number
  readonly #known = new KnownTokens()
  readonly #headers = new Map<string, Header>()

  constructor(
    keys: VerifierKeys,
    rules: ClaimRules,
    now: () => number,
    foreign: readonly TokenIssuer[] = [],
    audience = ''
  ) {
    this.#own = new OwnIssuer(keys, rules)
    this.#foreign = new Map(foreign.map((issuer) => [issuer.rules.issuer, issuer]))
    this.#audience = audience
    this.#now = now
  }

  /** Checks a token of this gateway's own. */
  verify(token: string, audience: string): Verified | Reason {
    const verified = this.#verify(token, { audience })
    return isMissing(verified) ? this.#own.keys.missing(verified.missing) : verified
  }

  /** Checks a token as a route wishes it; later only where the key of another issuer may yet come. */
  verifyFor(token: string, wish: TokenWish): Verified | Reason | Promise<Verified | Reason> {
    const verified = this.#verify(token, wish)
    if (!isMissing(verified)) return verified
    const answer = verified.issuer.keys.missing(verified.missing)
    return typeof answer === 'string' ? answer : answer.then(() => this.#verifyAgain(token, wish))
  }

  #verifyAgain(token: string, wish: TokenWish): Verified | Reason {
    const verified = this.#verify(token, wish)
    if (!isMissing(verified)) return verified
    const answer = verified.issuer.keys.missing(verified.missing)
    // Another fetch has begun meanwhile. A token waits for one, not for every one.
    return typeof answer === 'string' ? answer : 'issuer.unavailable'
  }

  #verify(token: string, { audience, issuers = ownOnly }: TokenWish): Verified | Reason | Missing {
    const now = this.#now() / 1000
    const known = this.#known.find(token)
    if (known !== undefined) {
      const wrong = checkTimes(known, known.issuer.rules.skew, now)
      if (wrong === undefined) return meets(known, audience, this.#audience, issuers)
      this.#known.forget(token)
      return wrong
    }
    return this.#verifyNew(token, now, audience, issuers)
  }

  #verifyNew(
    token: string,
    now: number,
    audience: string,
    issuers: 'all' | readonly string[]
  ): Verified | Reason | Missing {
    const segments = splitCompact(token)
    if (segments === undefined) return 'malformed'
    const header = this.#header(segments[0])
    if (header === undefined) return 'malformed'
    const issuer = this.#issuerOf(header, segments[1])
    if (typeof issuer === 'string') return issuer
    // Before a key is looked for: a route that does not take an issuer makes nobody fetch its keys.
    if (issuers !== 'all' && !issuers.includes(issuer.name)) return 'issuer.other'
    const wrong = issuer.refuses(header)
    if (wrong !== undefined) return wrong
    const kid = header.kid!
    const key = issuer.keys.find(kid)
    if (key === undefined) return new Missing(issuer, kid)
    if (header.alg !== key.alg) return 'alg'
    const { generation } = issuer.keys
    const payload =
      'of' in key ? openUserPayload(segments, key, issuer.rules.issuer) : openPayload(segments, key)
    if (typeof payload === 'string') return payload
    const verified = issuer.read(payload, kid, now)
    if (typeof verified === 'string') return verified
    return meets(this.#known.add(token, { verified, issuer, generation }), audience, this.#audience, issuers)
  }

  /** Whose token it says it is. The gateway's own are told by their kid, so that they cost no second look. */
  #issuerOf({ kid }: Header, payload: string): TokenIssuer | Reason {
    if (this.#foreign.size === 0 || (kid !== undefined && this.#own.keys.find(kid) !== undefined))
      return this.#own
    const claims = readPayload(payload)
    if (claims === undefined) return 'payload'
    const { iss } = claims
    if (iss === this.#own.rules.issuer) return this.#own
    return (typeof iss === 'string' ? this.#foreign.get(iss) : undefined) ?? 'issuer.unknown'
  }

  #header(segment: string): Header | undefined {
    const known = this.#headers.get(segment)
    if (known !== undefined) return known
    const header = readHeader(segment)
    if (header !== undefined) remember(this.#headers, segment, header, maxHeaders)
    return header
  }
}

/** A route's wish for one of `issuers` and for an audience, which is the same for all of its requests. */
function meets(
  known: Known,
  audience: string,
  usual: string,
  issuers: 'all' | readonly string[]
): Verified | Reason {
  const { verified, issuer } = known
  if (issuers !== 'all' && !issuers.includes(issuer.name)) return 'issuer.other'
  if (known.audience === audience) return verified
  if (!hasAudience(verified.claims.aud, issuer.audienceFor(audience, usual))) return 'claims.aud'
  known.audience = audience
  return verified
}

const isMissing = (verified: Verified | Reason | Missing): verified is Missing => verified instanceof Missing
