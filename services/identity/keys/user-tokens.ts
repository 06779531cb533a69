import { Internal } from '../../../errors.ts'
import type { Revocations } from '../revocations/revocations.ts'
import type { AccessClaims } from '../tokens/claims.ts'
import { maxUserPayload, ownerOf } from '../tokens/user-key.ts'
import type { Verified } from '../tokens/verifier.ts'
import type { KeyRing } from './key-ring.ts'

/** An access token (RFC 9068) by the key of the user it is for. Throws Internal rather than write one that no gateway would take. */
export function signForUser(keys: KeyRing, claims: AccessClaims, warn: (sentence: string) => void): string {
  const owner = ownerOf(claims.iss, claims)
  if (owner === undefined) {
    warn('A user has control characters in the user id and gets no token by "auth.signing": "per-user".')
    throw Internal([], { reason: 'user_key.id' })
  }
  const token = keys.signFor(owner, claims, { typ: 'at+jwt' })
  if (token.split('.')[1]!.length > maxUserPayload) {
    warn(
      `The claims of "${claims.sub}" do not fit into a token by "auth.signing": "per-user"; give the user fewer scopes or roles.`
    )
    throw Internal([], { reason: 'user_key.size' })
  }
  return token
}

/** Whether its user has another key by now: then it is void like one with a wrong signature, also where nobody asks for sessions. */
export const isByOldKey = (
  verified: Verified,
  { keys, revocations }: { readonly keys: KeyRing; readonly revocations: Revocations }
): boolean => revocations.list.isOutdated(verified) && keys.isForUsers(verified.kid)
