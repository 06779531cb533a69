import type { Endpoint, TLSOptions } from '../transport/connection.ts'
import { type ClientLimits, NodeClient } from '../transport/node-client.ts'

/** One node of a service: where it is, how much it gets, and how it has been doing. */
export class UpstreamNode {
  /** For logs and metrics; says nothing about where the node is. */
  readonly name: string
  readonly endpoint: Endpoint
  readonly weight: number
  /** Host header for it. */
  readonly authority: string
  /** Scheme and authority, for Location headers that point at it. */
  readonly origin: string
  /** Path in front of every request's; '' mostly. */
  readonly base: string
  readonly client: NodeClient
  /** Smooth weighted round-robin's running value. */
  current = 0
  ejectedUntil = 0

  constructor(name: string, url: string, weight: number, tls: TLSOptions, limits: ClientLimits) {
    const { protocol, hostname, port, host, origin, pathname } = new URL(url)
    const isSecure = protocol === 'https:'
    const bare = hostname.replace(/^\[|\]$/g, '')
    this.name = name
    this.weight = weight
    this.authority = host
    this.origin = origin
    this.base = pathname.replace(/\/+$/, '')
    this.endpoint = {
      host: bare,
      port: port === '' ? (isSecure ? 443 : 80) : Number(port),
      tls: isSecure ? { ...tls, servername: tls.servername ?? serverName(bare) } : undefined
    }
    this.client = new NodeClient(this.endpoint, limits)
  }
}

/** An address has no server name to indicate (RFC 6066 3). */
const serverName = (host: string): string | undefined => (/^[\d.]+$|:/.test(host) ? undefined : host)
