import { isIPv6 } from 'node:net'

/** A Host header or the authority of an absolute-form target. */
export interface Authority {
  /** As sent: what X-Forwarded-Host and redirects say. */
  readonly authority: string
  /** Lower case, without port and trailing dot: what routes compare. */
  readonly host: string
}

const name = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\.?$/
const plainHost = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/

/** Reads `uri-host [":" port]` (RFC 9110 7.2); undefined when it is malformed. */
export function parseAuthority(authority: string): Authority | undefined {
  if (plainHost.test(authority) && !authority.includes('..')) return { authority, host: authority }
  const match = /^(\[[^\]]+\]|[^:[\]]+)(?::([0-9]{1,5}))?$/.exec(authority)
  if (match === null) return undefined
  const [, host = '', port] = match
  if (port !== undefined && Number(port) > 65_535) return undefined
  if (host.startsWith('[')) {
    return isIPv6(host.slice(1, -1)) && !host.includes('%')
      ? { authority, host: host.toLowerCase() }
      : undefined
  }
  if (host.length > 254 || !name.test(host)) return undefined
  return { authority, host: host.toLowerCase().replace(/\.$/, '') }
}
