import type { TLSOptions } from '../transport/connection.ts'
import { Checker, type CheckSettings } from './checker.ts'
import { type Address, isFollowed, NameFollower, type NameSettings } from './names.ts'
import { type Place, placeOf, UpstreamNode } from './node.ts'
import type { Figures, Health } from './standing.ts'

/** Both `drain` and `down` take nothing new and finish what they have; one that is `down` is not checked either. */
export type NodeState = 'up' | 'drain' | 'down'

/** A node as somebody wrote it down. */
export interface NodeSpec {
  readonly id: string
  readonly url: string
  /** Name of SRV records that say where it is really. */
  readonly srv?: string | undefined
  readonly weight: number
  readonly source: 'config' | 'attached'
}

/** What a config says of all nodes of a service. */
export interface CommonSettings {
  readonly limits: { readonly maxConnections: number; readonly maxQueue: number }
  readonly names: NameSettings
  readonly checks: CheckSettings | undefined
}

/** What may change while it stays the same node. */
export interface MemberSettings extends CommonSettings {
  readonly source: 'config' | 'attached'
  readonly weight: number
  readonly state: NodeState
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
  #nodes: readonly UpstreamNode[] = []
  /** Addresses that are not its own any more, with exchanges under way. */
  #leaving: readonly UpstreamNode[] = []
  #follower: NameFollower | undefined
  #followed = ''
  readonly #checkers = new Map<UpstreamNode, Checker>()
  #checked = ''

  constructor(options: MemberOptions) {
    const { spec, key, settings } = options
    this.id = spec.id
    this.url = spec.url
    this.key = key
    this.#options = options
    this.#place = placeOf(spec.url)
    this.#settings = settings
    this.#limits = { ...settings.limits }
    const { host, port } = this.#place
    // A name of the system is resolved with each connection until there is an answer to go by.
    if (spec.srv === undefined && settings.names.servers.length === 0) {
      this.#nodes = [this.#nodeAt({ host, port, factor: 1 })]
    }
    this.configure(settings)
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

  /** Settles when it is known where it is, or that nobody knows yet. */
  get located(): Promise<void> | undefined {
    return this.#nodes.length === 0 ? this.#follower?.first : undefined
  }

  configure(settings: MemberSettings): void {
    this.#isRetired = false
    this.#settings = settings
    Object.assign(this.#limits, settings.limits)
    for (const node of this.#nodes) node.weight = settings.weight * node.factor
    this.#follow(settings.names)
    this.#check(settings.state === 'down' ? undefined : settings.checks)
  }

  /** The config that serves does not have it any more: it takes nothing new. */
  retire(): void {
    this.#isRetired = true
    this.#follow(undefined)
    this.#check(undefined)
  }

  /** Requests under way finish; idle connections end. */
  close(): void {
    this.retire()
    for (const node of this.#nodes) node.client.close()
  }

  /** Goes on as it is where nothing changed. */
  #follow(names: NameSettings | undefined): void {
    const { srv } = this.#options.spec
    if (!isFollowed(this.#place, srv)) return
    const settings = JSON.stringify(names)
    if (settings === this.#followed) return
    this.#followed = settings
    this.#follower?.stop()
    this.#follower = undefined
    if (names === undefined) return
    const { figures } = this.#options
    this.#follower = new NameFollower(this.#place, srv, names, this.#onAddresses, () => {
      figures.resolveFailures += 1
    })
  }

  #check(checks: CheckSettings | undefined): void {
    const settings = JSON.stringify(checks)
    if (settings === this.#checked) return
    this.#checked = settings
    for (const node of this.#nodes) this.#recheck(node, checks)
  }

  #recheck(node: UpstreamNode, checks: CheckSettings | undefined): void {
    this.#checkers.get(node)?.stop()
    this.#checkers.delete(node)
    if (checks !== undefined) this.#checkers.set(node, new Checker(node, checks))
  }

  /** Where the name leads now: what is there already stays as it is. Name servers like to change the order; that is no change. */
  readonly #onAddresses = (addresses: readonly Address[]): void => {
    const wanted = new Map(addresses.map((address) => [keyOf(address), address]))
    const gone = this.#nodes.filter(({ endpoint }) => !wanted.has(keyOf(endpoint)))
    const next = this.#nodes.filter(({ endpoint }) => wanted.has(keyOf(endpoint)))
    let hasChanged = gone.length > 0
    for (const node of next) {
      const { factor } = wanted.get(keyOf(node.endpoint))!
      if (node.factor !== factor) hasChanged = true
      node.factor = factor
      wanted.delete(keyOf(node.endpoint))
    }
    if (!hasChanged && wanted.size === 0) return
    const { weight, checks, state } = this.#settings
    for (const address of wanted.values()) {
      const node = this.#nodeAt(address)
      node.factor = address.factor
      next.push(node)
      if (state !== 'down') this.#recheck(node, checks)
    }
    for (const node of next) node.weight = weight * node.factor
    for (const node of gone) {
      this.#recheck(node, undefined)
      node.client.close()
    }
    this.#leaving = [...this.#leaving, ...gone].filter(({ inFlight }) => inFlight > 0)
    this.#nodes = next
    this.#options.onChange()
  }

  #nodeAt({ host, port }: Address): UpstreamNode {
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

const keyOf = ({ host, port }: { readonly host: string; readonly port: number }): string => `${host} ${port}`
