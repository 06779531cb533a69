import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'
import type { Exchange } from '../../plugins/plugin.ts'
import { first, hostOf, protocolOf } from '../../plugins/public-origin.ts'

/** Writes who asked, for which host, by which scheme (X-Forwarded-*, X-Real-IP, RFC 7239). A trusted proxy's own words are kept and added to. */
export function pushForwarded(
  headers: string[],
  raw: IncomingMessage,
  exchange: Exchange,
  prefix: string
): void {
  const peer = plainAddress(raw.socket.remoteAddress ?? '')
  const said = exchange.trusted ? raw.headers : undefined
  const protocol = protocolOf(raw, exchange)
  const host = hostOf(raw, exchange)
  const hops = said?.['x-forwarded-for']
  headers.push('X-Forwarded-For', hops === undefined ? peer : `${String(hops)}, ${peer}`)
  if (host !== '') headers.push('X-Forwarded-Host', host)
  headers.push('X-Forwarded-Proto', protocol)
  headers.push('X-Forwarded-Port', first(said?.['x-forwarded-port']) ?? portOf(host, protocol, raw))
  if (prefix !== '') headers.push('X-Forwarded-Prefix', prefix)
  headers.push('X-Real-IP', exchange.client)
  const hop = `for=${node(peer)}${host === '' ? '' : `;host=${quoted(host)}`};proto=${protocol}`
  headers.push('Forwarded', said?.forwarded === undefined ? hop : `${said.forwarded}, ${hop}`)
}

function portOf(host: string, protocol: string, raw: IncomingMessage): string {
  const port = /:([0-9]+)$/.exec(host)?.[1]
  if (port !== undefined) return port
  return host === '' ? String(raw.socket.localPort ?? '') : protocol === 'https' ? '443' : '80'
}

const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '')

const node = (address: string): string => (isIPv6(address) ? `"[${address}]"` : address || 'unknown')

const quoted = (host: string): string =>
  /^[\w.-]+$/.test(host) ? host : `"${host.replace(/["\\]/g, '\\$&')}"`
