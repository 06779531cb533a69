import { HolderNotes } from '../holder-notes.ts'
import { type ClaimRules, checkClaims } from './claims.ts'
import type { Header, Reason } from './compact.ts'
import { isKid } from './jwk.ts'
import type { JSONObject } from './strict-json.ts'
import type { IssuerKeys, TokenIssuer, Verified, VerifierKeys } from './verifier.ts'
import { isType } from './verify-compact.ts'

interface OwnKeys extends IssuerKeys {
  missing(kid: string): 'kid' | 'kid.unknown'
}

/** The gateway itself as an issuer. Its keys are all at hand. */
export class OwnIssuer implements TokenIssuer {
  readonly name = 'own'
  readonly rules: ClaimRules
  readonly keys: OwnKeys

  constructor(keys: VerifierKeys, rules: ClaimRules) {
    this.rules = rules
    this.keys = {
      get generation() {
        return keys.generation
      },
      find: (kid) => keys.find(kid),
      missing: (kid) => (keys.has(kid) ? 'kid' : 'kid.unknown')
    }
  }

  refuses({ kid, typ }: Header): Reason | undefined {
    if (!isType(typ, 'at+jwt')) return 'malformed'
    return isKid(kid) ? undefined : 'kid'
  }

  audienceFor(wanted: string): string {
    return wanted
  }

  read(payload: JSONObject, kid: string, now: number): Verified | Reason {
    const claims = checkClaims(payload, this.rules, now)
    if (typeof claims === 'string') return claims
    const { sub: subject, sid: session, scope } = claims
    const scopes = scope === undefined || scope === '' ? [] : scope.split(' ')
    return freezeVerified({ subject, session, scopes, claims, kid, isOwn: true })
  }
}

/**
 * Freezes it with all it holds, but for its notes. Member by member: what is spread with more behind it has a shape of its own in Node 20,
 * and what is read of a thousand holders with a thousand shapes is looked up slowly, several times a request.
 */
export function freezeVerified({ subject, session, scopes, claims, kid, isOwn }: Verified): Verified {
  deepFreeze(claims)
  Object.freeze(scopes)
  const verifiedAt = performance.now()
  return Object.freeze({ subject, session, scopes, claims, kid, isOwn, verifiedAt, notes: new HolderNotes() })
}

function deepFreeze(value: JSONObject): void {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) deepFreeze(member as JSONObject)
  }
  Object.freeze(value)
}
