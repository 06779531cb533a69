import type { IncomingMessage } from 'node:http'
import { isIPv6, type Socket } from 'node:net'
import { peerOf } from '../../plugins/guard/client-address.ts'
import type { Exchange } from '../../plugins/plugin.ts'
import { first, hostOf, protocolOf } from '../../plugins/public-origin.ts'
import { flat } from '../../services/flat.ts'

const kWritten = Symbol('written')

interface Written {
  readonly authority: string
  readonly prefix: string
  readonly lines: string
}

type Remembering = Socket & { [kWritten]?: Written }

/**
 * Says who asked, for which host, by which scheme (X-Forwarded-*, X-Real-IP, RFC 7239), as header lines. A trusted proxy's own words are
 * kept and added to. What nobody but the connection has a say in is the same for the next request over it, and so is written once.
 */
export function forwardedLines(raw: IncomingMessage, exchange: Exchange, prefix: string): string {
  if (exchange.trusted) return write(raw, exchange, prefix)
  const socket = raw.socket as Remembering
  const { authority } = exchange
  const known = socket[kWritten]
  if (known !== undefined && known.authority === authority && known.prefix === prefix) return known.lines
  const lines = flat(write(raw, exchange, prefix))
  socket[kWritten] = { authority, prefix, lines }
  return lines
}

function write(raw: IncomingMessage, exchange: Exchange, prefix: string): string {
  const peer = peerOf(raw.socket)
  const said = exchange.trusted ? raw.headers : undefined
  const protocol = protocolOf(raw, exchange)
  const host = hostOf(raw, exchange)
  const hops = said?.['x-forwarded-for']
  const port = first(said?.['x-forwarded-port']) ?? portOf(host, protocol, raw)
  let lines = `X-Forwarded-For: ${hops === undefined ? peer : `${String(hops)}, ${peer}`}\r\n`
  if (host !== '') lines += `X-Forwarded-Host: ${host}\r\n`
  lines += `X-Forwarded-Proto: ${protocol}\r\nX-Forwarded-Port: ${port}\r\n`
  if (prefix !== '') lines += `X-Forwarded-Prefix: ${prefix}\r\n`
  lines += `X-Real-IP: ${exchange.client}\r\n`
  const hop = `for=${node(peer)}${host === '' ? '' : `;host=${quoted(host)}`};proto=${protocol}`
  return `${lines}Forwarded: ${said?.forwarded === undefined ? hop : `${said.forwarded}, ${hop}`}\r\n`
}

function portOf(host: string, protocol: string, raw: IncomingMessage): string {
  const port = /:([0-9]+)$/.exec(host)?.[1]
  if (port !== undefined) return port
  return host === '' ? String(raw.socket.localPort ?? '') : protocol === 'https' ? '443' : '80'
}

const node = (address: string): string => (isIPv6(address) ? `"[${address}]"` : address || 'unknown')

const quoted = (host: string): string =>
  /^[\w.-]+$/.test(host) ? host : `"${host.replace(/["\\]/g, '\\$&')}"`
