import type { Endpoint, TLSOptions } from '../transport/connection.ts'
import { type ClientLimits, NodeClient } from '../transport/node-client.ts'
import { type Figures, Standing } from './standing.ts'

/** What a node's url says once and for all of its addresses. */
export interface Place {
  readonly isSecure: boolean
  /** Without brackets. */
  readonly host: string
  readonly port: number
  readonly authority: string
  readonly origin: string
  readonly base: string
}

export function placeOf(url: string): Place {
  const { protocol, hostname, port, host, origin, pathname } = new URL(url)
  const isSecure = protocol === 'https:'
  return {
    isSecure,
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (isSecure ? 443 : 80) : Number(port),
    authority: host,
    origin,
    base: pathname.replace(/\/+$/, '')
  }
}

export interface NodeOptions {
  /** For logs and metrics; says nothing about where the node is. */
  readonly name: string
  readonly place: Place
  readonly host: string
  readonly port: number
  readonly tls: TLSOptions
  readonly limits: ClientLimits
  readonly figures: Figures
  /** Called when the node comes to be left alone, or to be asked again. */
  readonly onChange: () => void
}

/** One address that answers for a service, its connections, and how it has been doing. */
export class UpstreamNode {
  readonly name: string
  readonly endpoint: Endpoint
  /** Host header for it. */
  readonly authority: string
  /** Scheme and authority, for Location headers that point at it. */
  readonly origin: string
  /** Path in front of every request's; '' mostly. */
  readonly base: string
  readonly client: NodeClient
  readonly standing: Standing
  /** Tells it from others when requests are shared out by a key; the same in every gateway. */
  readonly seed: number
  weight = 1
  /** Its own part in its weight (SRV). */
  factor = 1
  /** Weight as a multiple of the mean of those that are asked. */
  share = 1
  /** Exchanges and WebSockets under way. */
  inFlight = 0
  /** Smooth weighted round-robin's running value. */
  current = 0
  /** Milliseconds to an answer's head: jumps up, sinks slowly; 0 until the first one. */
  #latency = 0
  #observedAt = 0

  constructor({ name, place, host, port, tls, limits, figures, onChange }: NodeOptions) {
    this.name = name
    this.authority = place.authority
    this.origin = place.origin
    this.base = place.base
    this.endpoint = {
      host,
      port,
      tls: place.isSecure ? { ...tls, servername: tls.servername ?? serverName(place.host) } : undefined
    }
    this.client = new NodeClient(this.endpoint, limits)
    this.standing = new Standing(figures, onChange)
    this.seed = seedOf(`${place.origin}${place.base} ${host} ${port}`)
  }

  /** Takes in how long an answer took. */
  observe(latency: number, now: number): void {
    const known = this.latencyAt(now)
    // A peak counts at once; it is over when time has passed, or when some ten answers say so.
    this.#latency =
      latency > known ? latency : latency + (known - latency) * Math.min(0.9, decay(now - this.#observedAt))
    this.#observedAt = now
  }

  /** What it is expected to take: a bad moment is forgotten even where no request comes to prove it over. */
  latencyAt(now: number): number {
    return this.#latency * decay(now - this.#observedAt)
  }
}

/** Milliseconds after which about a third of what was observed still counts. */
const memory = 3000

const decay = (age: number): number => Math.exp(-age / memory)

/** An address has no server name to indicate (RFC 6066 3). */
const serverName = (host: string): string | undefined => (/^[\d.]+$|:/.test(host) ? undefined : host)

/** FNV-1a. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  return hash >>> 0
}
