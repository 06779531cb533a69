/** The `realm` of every challenge; one gateway is one protection space (RFC 9110 11.5). */
const realm = 'Bearer realm="tollkeeper"'

/** WWW-Authenticate of a 401 or 403 (RFC 6750 3): no `error` where no token was sent. */
export const challenge = (
  error?: 'invalid_token' | 'insufficient_scope',
  scopes: readonly string[] = []
): Readonly<Record<string, string>> => ({
  'www-authenticate':
    realm +
    (error === undefined ? '' : `, error="${error}"`) +
    (scopes.length === 0 ? '' : `, scope="${scopes.join(' ')}"`)
})
