import type { IncomingMessage } from 'node:http'
import type { Access } from '../../services/identity/access.ts'
import type { Credential, CredentialKind } from '../../services/identity/parts.ts'
import { bearerOf } from './bearer.ts'
import { refused } from './refusals.ts'

/** Where each kind of credential is looked for. Never the query: logs and Referer would keep it. */
const readers: Readonly<Record<CredentialKind, (raw: IncomingMessage) => string | undefined>> = {
  bearer: bearerOf
}

/**
 * Reads the one credential of a request, from the places the route takes it from and no others. Two of them are refused: it is
 * open as whom such a request comes.
 */
export function credentialReader({
  credentials
}: Pick<Access, 'credentials'>): (raw: IncomingMessage) => Credential | undefined {
  return (raw) => {
    let found: Credential | undefined
    for (const kind of credentials) {
      const value = readers[kind](raw)
      if (value === undefined) continue
      if (found !== undefined) throw refused('credentials.several')
      found = { kind, value }
    }
    return found
  }
}
