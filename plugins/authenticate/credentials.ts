import type { Access } from '../../services/identity/access.ts'
import type { Credential, CredentialKind } from '../../services/identity/parts.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import { bearerOf } from './bearer.ts'
import { cookieReader } from './cookie-jar.ts'
import { oneHeader, type Read } from './one-header.ts'
import { refused } from './refusals.ts'

/** Where each kind of credential is looked for. Never the query: logs and Referer would keep it. */
const readersOf = (auth: AuthOptions): Readonly<Record<CredentialKind, Read>> => ({
  bearer: bearerOf,
  cookie: cookieReader(auth),
  'api-key': oneHeader(auth.apiKeys?.header ?? '', 'api_key_twice')
})

/**
 * Reads the one credential of a request, from the places the route takes it from and no others. Two of them are refused: it is
 * open as whom such a request comes.
 */
export function credentialReader(
  { credentials }: Pick<Access, 'credentials'>,
  auth: AuthOptions
): (...from: Parameters<Read>) => Credential | undefined {
  const known = readersOf(auth)
  const readers = credentials.map((kind) => ({ kind, read: known[kind] }))
  return (raw) => {
    let found: Credential | undefined
    for (const { kind, read } of readers) {
      const value = read(raw)
      if (value === undefined) continue
      if (found !== undefined) throw refused('credentials.several')
      found = { kind, value }
    }
    return found
  }
}
