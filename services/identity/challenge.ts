import { type Problem, Unauthenticated } from '../../errors.ts'
import type { CredentialKind } from './parts.ts'

/** Said by every challenge; one gateway is one protection space (RFC 9110 11.5). */
const realm = 'realm="tollkeeper"'

/**
 * The scheme a kind of credential goes by (RFC 9110 11.1). There is no registered one for API keys; "Bearer" would send clients off to
 * refresh a token they do not have. A cookie holds such a token.
 */
const schemes: Readonly<Record<CredentialKind, string>> = {
  bearer: 'Bearer',
  cookie: 'Bearer',
  'api-key': 'ApiKey'
}

/** WWW-Authenticate of a 401 or 403 (RFC 6750 3): one challenge for each kind that would do; no `error` where nothing was sent. */
export const challenge = (
  error?: 'invalid_token' | 'invalid_key' | 'insufficient_scope',
  scopes: readonly string[] = [],
  kinds: readonly CredentialKind[] = ['bearer']
): Readonly<Record<string, string>> => ({
  'www-authenticate': [...new Set(kinds.map((kind) => schemes[kind]))]
    .map(
      (scheme) =>
        `${scheme} ${realm}` +
        (error === undefined ? '' : `, error="${error}"`) +
        (scopes.length === 0 ? '' : `, scope="${scopes.join(' ')}"`)
    )
    .join(', ')
})

/** What who signed in too long ago is told (RFC 9470 3), with the age in seconds that would do. */
export const challengeOfAge = (maxAge: number): Readonly<Record<string, string>> => ({
  'www-authenticate': `Bearer ${realm}, error="insufficient_user_authentication", max_age=${maxAge}`
})

/** What a request without a credential is told where one is needed. */
export const missing = (kinds: readonly CredentialKind[] = ['bearer']): Problem =>
  Unauthenticated([waysIn(kinds)], { reason: 'missing', headers: challenge(undefined, [], kinds) })

function waysIn(kinds: readonly CredentialKind[]): string {
  const takesKeys = kinds.includes('api-key')
  if (takesKeys && kinds.length === 1) return 'This is for holders of an API key; send it in its header.'
  if (kinds.every((kind) => kind === 'cookie'))
    return 'This is for signed-in users; sign in with "cookie": true.'
  const orKey = takesKeys ? ' or an API key in its header' : ''
  return `This is for signed-in users; send "Authorization: Bearer <access token>"${orKey}.`
}
