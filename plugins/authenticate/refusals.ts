import { type Problem, StoreUnavailable, Unauthenticated } from '../../errors.ts'
import { challenge } from '../../services/identity/challenge.ts'
import type { Refusal } from '../../services/identity/parts.ts'

/** What a request without a credential is told where one is needed (RFC 6750 3.1: no error code). */
export const missing = (): Problem =>
  Unauthenticated(['This is for signed-in users; send "Authorization: Bearer <access token>".'], {
    reason: 'missing',
    headers: challenge()
  })

/** What a request with a credential that does not hold is told. */
export function refused(reason: Refusal): Problem {
  if (reason === 'stale' || reason === 'store') {
    return StoreUnavailable([], { reason, headers: { 'retry-after': '1' } })
  }
  return Unauthenticated([sentenceOf(reason)], { reason, headers: challenge('invalid_token') })
}

/** Only who has shown a token that was once good is told what became of it. */
function sentenceOf(reason: Refusal): string {
  switch (reason) {
    case 'claims.exp':
      return 'The access token has expired; refresh it or sign in again.'
    case 'claims.aud':
      return 'The access token is for another audience.'
    case 'revoked.sid':
    case 'revoked.epoch':
    case 'revoked.gone':
      return 'The session was ended; sign in again.'
    case 'revoked.jti':
    case 'revoked.client':
    case 'revoked.kid':
      return 'The access token was revoked; refresh it or sign in again.'
    case 'credentials.several':
      return 'The request carries more than one credential; send one.'
    default:
      return 'The access token is not valid; sign in again.'
  }
}
