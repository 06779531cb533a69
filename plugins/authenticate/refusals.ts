import { IssuerUnavailable, type Problem, StoreUnavailable, Unauthenticated } from '../../errors.ts'
import { challenge } from '../../services/identity/challenge.ts'
import type { Refusal } from '../../services/identity/parts.ts'

/** What a request with a credential that does not hold is told. */
export function refused(reason: Refusal): Problem {
  if (reason === 'stale' || reason === 'store') {
    return StoreUnavailable([], { reason, headers: { 'retry-after': '1' } })
  }
  if (reason === 'issuer.unavailable')
    return IssuerUnavailable([], { reason, headers: { 'retry-after': '5' } })
  const headers = reason.startsWith('apikey.')
    ? challenge('invalid_key', [], ['api-key'])
    : challenge('invalid_token')
  return Unauthenticated([sentenceOf(reason)], { reason, headers })
}

/** Only who has shown a token or a key that was once good is told what became of it. */
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
    case 'apikey.exp':
      return 'The API key has expired; ask for a new one.'
    case 'apikey.disabled':
    case 'apikey.nbf':
      return 'The API key is not in force.'
    case 'apikey.malformed':
    case 'apikey.checksum':
      return 'That is no API key; see that it was copied whole.'
    case 'apikey.unknown':
    case 'apikey.secret':
      return 'The API key is not valid.'
    case 'credentials.several':
      return 'The request carries more than one credential; send one.'
    default:
      return 'The access token is not valid; sign in again.'
  }
}
