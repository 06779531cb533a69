import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { parseAuthority } from './authority.ts'
import type { Exchange } from './plugin.ts'

/** Scheme and authority by which the client came; '' when it named no host. */
export function publicOrigin(raw: IncomingMessage, exchange: Exchange): string {
  const host = hostOf(raw, exchange)
  return host === '' ? '' : `${protocolOf(raw, exchange)}://${host}`
}

export function protocolOf(raw: IncomingMessage, { trusted }: Exchange): string {
  const said = trusted ? first(raw.headers['x-forwarded-proto']) : undefined
  // A proxy passes on what its own client said, more often than not.
  if (said !== undefined && /^(?:http|ws)s?$/i.test(said)) return said.toLowerCase()
  return (raw.socket as TLSSocket).encrypted ? 'https' : 'http'
}

export function hostOf(raw: IncomingMessage, { trusted, authority }: Exchange): string {
  const said = trusted ? first(raw.headers['x-forwarded-host']) : undefined
  return said !== undefined && parseAuthority(said) !== undefined ? said : authority
}

/** What the outermost proxy said, where each added its own. */
export const first = (value: string | string[] | undefined): string | undefined => {
  const text = String(value ?? '')
    .split(',', 1)[0]!
    .trim()
  return text === '' ? undefined : text
}
