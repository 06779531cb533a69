import { checkStandard } from '../tokens/claims.ts'
import type { Header, Reason } from '../tokens/compact.ts'
import { isForeignKid } from '../tokens/jwk-set.ts'
import { freezeVerified } from '../tokens/own-issuer.ts'
import type { JSONObject } from '../tokens/strict-json.ts'
import type { TokenIssuer, Verified } from '../tokens/verifier.ts'
import { isType } from '../tokens/verify-compact.ts'
import type { FileKeys } from './file-keys.ts'
import type { RemoteKeys } from './remote-keys.ts'

export interface ForeignRules {
  readonly name: string
  readonly issuer: string
  readonly audience: string | undefined
  readonly algorithms: readonly string[]
  readonly types: readonly string[]
  /** Seconds. */
  readonly skew: number
  /** Seconds. */
  readonly maxLifetime: number
  readonly scopeClaim: string
  readonly subjectPrefix: string
}

/**
 * Somebody else who signs tokens. Nothing in such a token selects a session or a user of this gateway: its subject gets a prefix,
 * and its `sid` and `ep` are dropped.
 */
export class ForeignIssuer implements TokenIssuer {
  readonly keys: RemoteKeys | FileKeys
  readonly rules: ForeignRules

  constructor(rules: ForeignRules, keys: RemoteKeys | FileKeys) {
    this.rules = rules
    this.keys = keys
  }

  get name(): string {
    return this.rules.name
  }

  refuses({ alg, kid, typ }: Header): Reason | undefined {
    const { algorithms, types } = this.rules
    if (!types.some((type) => isType(typ ?? 'JWT', type))) return 'malformed'
    if (!isForeignKid(kid)) return 'kid'
    return algorithms.includes(alg) ? undefined : 'alg'
  }

  audienceFor(wanted: string, usual: string): string {
    return wanted === usual ? (this.rules.audience ?? usual) : wanted
  }

  read(claims: JSONObject, kid: string, now: number): Verified | Reason {
    const { scopeClaim, subjectPrefix } = this.rules
    const standard = checkStandard(claims, this.rules, now)
    if (typeof standard === 'string') return standard
    // It tells of something that happened, as a logout token does (RFC 8417), and need not have a typ that says so.
    if (Object.hasOwn(claims, 'events')) return 'claims.form'
    const { sid: _sid, ep: _ep, client_id: client, azp, jti, ...rest } = standard
    const scopes = scopesOf(claims[scopeClaim])
    const clientId = client ?? azp
    if (scopes === undefined || !isAbsentOrName(jti) || !isAbsentOrName(clientId)) return 'claims.form'
    return freezeVerified({
      subject: subjectPrefix + standard.sub,
      session: undefined,
      scopes,
      // Assigned, not spread, for the sake of their shape; see freezeVerified.
      claims: Object.assign(
        rest,
        { sub: subjectPrefix + standard.sub },
        jti !== undefined && { jti },
        clientId !== undefined && { client_id: clientId }
      ),
      kid,
      isOwn: false
    })
  }

  close(): void {
    this.keys.close()
  }
}

function scopesOf(claim: unknown): string[] | undefined {
  if (claim === undefined) return []
  const scopes = typeof claim === 'string' ? claim.split(' ') : claim
  if (!Array.isArray(scopes) || !scopes.every((scope) => typeof scope === 'string')) return undefined
  // Services split scopes at spaces: a group "Big admin" must not become the scope "admin" there.
  return scopes.filter((scope) => /^\S+$/.test(scope))
}

const isAbsentOrName = (value: unknown): value is string | undefined =>
  value === undefined || (typeof value === 'string' && value.length >= 1 && value.length <= 255)
