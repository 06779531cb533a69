import type { Reason } from './compact.ts'
import type { JSONObject } from './strict-json.ts'

export interface ClaimRules {
  readonly issuer: string
  /** Seconds the clock of who signed may be ahead. */
  readonly skew: number
  /** Seconds between iat and exp, at most. */
  readonly maxLifetime: number
}

/** The claims every token has to have, whoever signed it. */
export interface StandardClaims extends JSONObject {
  readonly iss: string
  readonly sub: string
  readonly aud: string | readonly string[]
  readonly exp: number
  readonly iat: number
  readonly nbf?: number
}

/** The claims of an access token (RFC 9068 2.2), once they are known to have these types. Other issuers may leave out `jti`. */
export interface AccessClaims extends StandardClaims {
  readonly jti?: string
  readonly client_id?: string
  readonly sid?: string
  readonly ep?: number
  /** The generation of the refresh token it was given out with. */
  readonly rg?: number
  readonly scope?: string
  readonly roles?: readonly string[]
}

/** Checks an access token of this gateway at the time `now` in seconds; the audience is checked for each route. */
export function checkClaims(claims: JSONObject, rules: ClaimRules, now: number): AccessClaims | Reason {
  const standard = checkStandard(claims, rules, now)
  if (typeof standard === 'string') return standard
  const { jti, client_id: client, sid, ep, scope, roles } = claims
  const isSound =
    isName(jti) &&
    (client === undefined || isName(client)) &&
    (sid === undefined || isName(sid)) &&
    (ep === undefined || isTime(ep)) &&
    (scope === undefined || typeof scope === 'string') &&
    (roles === undefined || (Array.isArray(roles) && roles.every(isName)))
  return isSound ? (claims as AccessClaims) : 'claims.form'
}

/** Checks what holds for the tokens of every issuer and does not depend on the route. */
export function checkStandard(claims: JSONObject, rules: ClaimRules, now: number): StandardClaims | Reason {
  const { iss, sub, aud, exp, iat, nbf } = claims
  if (!isTime(exp)) return 'claims.exp'
  if (!isTime(iat)) return 'claims.iat'
  if (nbf !== undefined && !isTime(nbf)) return 'claims.nbf'
  const wrong = checkTimes({ exp, nbf }, rules.skew, now)
  if (wrong !== undefined) return wrong
  if (iat > now + rules.skew) return 'claims.iat'
  if (exp - iat > rules.maxLifetime) return 'claims.exp'
  if (iss !== rules.issuer) return 'claims.iss'
  if (!isName(sub)) return 'claims.sub'
  if (!isName(aud) && !(Array.isArray(aud) && aud.length > 0 && aud.every(isName))) return 'claims.aud'
  return claims as StandardClaims
}

/**
 * What has to be asked again at every use of a token, however well known it is. There is no leeway behind `exp`: clients were told
 * when it ends, and a session that is over would live on in it.
 */
export function checkTimes(
  { exp, nbf }: { readonly exp: number; readonly nbf?: number | undefined },
  skew: number,
  now: number
): Reason | undefined {
  if (now >= exp) return 'claims.exp'
  if (nbf !== undefined && now < nbf - skew) return 'claims.nbf'
  return undefined
}

export const hasAudience = (aud: string | readonly string[], wanted: string): boolean =>
  typeof aud === 'string' ? aud === wanted : aud.includes(wanted)

const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const isName = (value: unknown): value is string =>
  typeof value === 'string' && value.length >= 1 && value.length <= 255
