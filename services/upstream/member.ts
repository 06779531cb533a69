import type { TLSOptions } from '../transport/connection.ts'
import { type Place, placeOf, UpstreamNode } from './node.ts'
import type { Figures, Health } from './standing.ts'

/** Both `drain` and `down` take nothing new and finish what they have; one that is `down` is not checked either. */
export type NodeState = 'up' | 'drain' | 'down'

/** A node as somebody wrote it down. */
export interface NodeSpec {
  readonly id: string
  readonly url: string
  readonly weight: number
  readonly source: 'config' | 'attached'
}

/** What may change while it stays the same node. */
export interface MemberSettings {
  readonly source: 'config' | 'attached'
  readonly weight: number
  readonly state: NodeState
  readonly limits: { readonly maxConnections: number; readonly maxQueue: number }
}

export interface MemberOptions {
  readonly spec: NodeSpec
  /** What the roster knows it by. */
  readonly key: string
  readonly tls: TLSOptions
  readonly settings: MemberSettings
  readonly figures: Figures
  /** Called when who can be asked has changed. */
  readonly onChange: () => void
}

/** One node of a service as whoever runs the gateway knows it: one url, and behind it one address or several. */
export class Member {
  /** Stays with the url, in every gateway, for as long as the config gives it no other. */
  readonly id: string
  readonly url: string
  readonly key: string
  readonly #options: MemberOptions
  readonly #place: Place
  readonly #limits: { maxConnections: number; maxQueue: number }
  #settings: MemberSettings
  #isRetired = false
  #nodes: readonly UpstreamNode[]
  /** Addresses that are not its own any more, with exchanges under way. */
  #leaving: readonly UpstreamNode[] = []

  constructor(options: MemberOptions) {
    const { id, url } = options.spec
    this.id = id
    this.url = url
    this.key = options.key
    this.#options = options
    this.#place = placeOf(url)
    this.#settings = options.settings
    this.#limits = { ...options.settings.limits }
    this.#nodes = [this.#nodeAt(this.#place.host, this.#place.port)]
    this.configure(options.settings)
  }

  /** Whether the config has it, or it was attached while running. */
  get source(): 'config' | 'attached' {
    return this.#settings.source
  }

  get weight(): number {
    return this.#settings.weight
  }

  get state(): NodeState {
    return this.#settings.state
  }

  /** How the best of its addresses does. */
  get health(): Health {
    const all = this.#nodes.map(({ standing }) => standing.health)
    return all.find((health) => health === 'well') ?? all[0] ?? 'failing'
  }

  /** Exchanges and WebSockets under way: what a drained node still has to finish. */
  get inFlight(): number {
    this.#leaving = this.#leaving.filter(({ inFlight }) => inFlight > 0)
    let count = 0
    for (const { inFlight } of this.#nodes) count += inFlight
    for (const { inFlight } of this.#leaving) count += inFlight
    return count
  }

  /** Its addresses, each with connections and a standing of its own. */
  get nodes(): readonly UpstreamNode[] {
    return this.#nodes
  }

  /** Whether it may be given anything new. */
  get isTaking(): boolean {
    return !this.#isRetired && this.state === 'up' && this.weight > 0
  }

  configure(settings: MemberSettings): void {
    this.#isRetired = false
    this.#settings = settings
    Object.assign(this.#limits, settings.limits)
    for (const node of this.#nodes) node.weight = settings.weight
  }

  /** The config that serves does not have it any more: it takes nothing new. */
  retire(): void {
    this.#isRetired = true
  }

  /** Requests under way finish; idle connections end. */
  close(): void {
    for (const node of this.#nodes) node.client.close()
  }

  #nodeAt(host: string, port: number): UpstreamNode {
    const { tls, figures, onChange } = this.#options
    return new UpstreamNode({
      name: this.id,
      place: this.#place,
      host,
      port,
      tls,
      limits: this.#limits,
      figures,
      onChange
    })
  }
}
