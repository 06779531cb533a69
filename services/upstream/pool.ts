import type { TLSOptions } from '../transport/connection.ts'
import type { AnswerSink, Failure, Outgoing, Sent, Timeouts } from '../transport/transport.ts'
import { type Balance, balanceBy, type HashOptions, type Strategy } from './balance.ts'
import { Delivery } from './delivery.ts'
import type { CommonSettings, Member, NodeSpec, NodeState } from './member.ts'
import type { UpstreamNode } from './node.ts'
import { RetryBudget } from './retry-budget.ts'
import type { AttachOptions, NodeOverride, Party, Roster } from './roster.ts'
import type { Figures, HealthSettings } from './standing.ts'

/** What of a request decides which node it goes to. */
export interface KeySource {
  readonly from: 'header' | 'cookie' | 'subject' | 'address' | 'path'
  /** Of the header (lower case) or the cookie. */
  readonly name: string
}

/** A request as the pool sees it, and who wants to know what becomes of it. */
export interface PoolRequest {
  /** The request written for a node: its Host and the path in front are the node's. */
  outgoingFor(node: UpstreamNode): Outgoing
  /** Told who gets it, once for each node that is tried. */
  onNode(node: UpstreamNode): void
  /** Asked only where nodes are picked by a key; undefined when the request has none. */
  balanceKey(source: KeySource): string | undefined
}

export interface RetrySettings {
  /** How often one request is sent once more at most. */
  readonly attempts: number
  /** Statuses upon which it is. */
  readonly statuses: ReadonlySet<number>
  /** Share of the requests that may be retries, and how many a second besides. */
  readonly budget: number
  readonly minimum: number
}

export interface PoolOptions {
  readonly name: string
  readonly specs: readonly NodeSpec[]
  readonly tls: TLSOptions
  readonly common: CommonSettings
  readonly timeouts: Timeouts
  readonly balance: Strategy | HashOptions
  readonly health: HealthSettings
  readonly retry: RetrySettings
}

/** Who would get a request at this moment. */
export interface Preview {
  readonly strategy: string
  /** Id of the node; undefined where chance decides, or nobody can be asked. */
  readonly next?: string
  /** Every node by its id, and what keeps it from being asked if anything does. */
  readonly nodes: Readonly<Record<string, string>>
}

/**
 * How one config uses the nodes of one service. The nodes themselves outlive it: the next config's pool takes over those it has as
 * well, with their connections and all that is known of them.
 */
export class Pool implements Party {
  readonly name: string
  readonly specs: readonly NodeSpec[]
  readonly tls: TLSOptions
  readonly common: CommonSettings
  readonly timeouts: Timeouts
  readonly health: HealthSettings
  readonly retry: RetrySettings
  readonly budget: RetryBudget
  readonly keepsLatency: boolean
  /** By which nodes are picked: the name of the strategy, or `hash`. */
  readonly strategy: string
  /** When `pick` was asked last; 0 where nobody wanted to know. Saves whoever asked a look at the clock. */
  pickedAt = 0
  readonly #roster: Roster
  readonly #balance: Balance
  #isStale = true
  #isPanicking = false
  /** Who is asked in ordinary times, and who gets nothing but trial requests. */
  #ready: readonly UpstreamNode[] = []
  #resting: readonly UpstreamNode[] = []

  constructor(options: PoolOptions, roster: Roster) {
    const { name, specs, tls, common, timeouts, balance, health, retry } = options
    this.name = name
    this.specs = specs
    this.tls = tls
    this.common = common
    this.timeouts = timeouts
    this.health = health
    this.retry = retry
    this.budget = new RetryBudget(retry.budget, retry.minimum)
    this.#roster = roster
    this.#balance = balanceBy(balance)
    this.keepsLatency = this.#balance.keepsLatency
    this.strategy = typeof balance === 'string' ? balance : 'hash'
    roster.join(this)
  }

  /** The nodes of the service, those attached while running included and those detached left out. */
  get nodes(): readonly Member[] {
    return this.#roster.membersOf(this)
  }

  /** Counters of the service; they outlive the config. */
  get figures(): Figures {
    return this.#roster.figures
  }

  /** Everything about the nodes that was changed while running: as JSON, what `apply` takes. */
  get overrides(): readonly NodeOverride[] {
    return this.#roster.overrides
  }

  /** Adds a node. Throws BAD_REQUEST when the service has it already or the url is none. */
  attach(options: AttachOptions): Member {
    const { id } = this.#roster.attach(options)
    return this.nodes.find((node) => node.id === id)!
  }

  /** Changes a node; undefined when there is none with this id. */
  update(id: string, change: { readonly weight?: number; readonly state?: NodeState }): Member | undefined {
    return this.#roster.update(id, change) ? this.nodes.find((node) => node.id === id) : undefined
  }

  /** Takes a node out: what it has under way it finishes. Returns it, so that this can be watched; undefined when there is none. */
  detach(id: string): Member | undefined {
    const member = this.nodes.find((node) => node.id === id)
    return member !== undefined && this.#roster.detach(id) ? member : undefined
  }

  /** Makes these all the overrides there are, such as the store has them. The same list again changes nothing. */
  apply(overrides: readonly NodeOverride[]): void {
    this.#roster.apply(overrides)
  }

  /** Sends one request to a node and, where that is safe, to another one. */
  send(request: PoolRequest, sink: AnswerSink): Sent {
    const first = this.pick(request, none)
    if (first === undefined) {
      queueMicrotask(() => sink.onFailure(this.unserved()))
      return nothing
    }
    this.budget.deposit()
    return new Delivery(this, request, first).begin(sink)
  }

  /** What becomes of a request for which nobody could be picked. */
  unserved(): Failure {
    this.figures.unserved += 1
    const reason = this.#resting.some(({ standing }) => standing.isOpen) ? 'breaker_open' : 'no_node'
    return { kind: 'unavailable', reason, isUnsent: true }
  }

  /** The node for a request; none of those that were tried. */
  pick(request: PoolRequest, tried: readonly UpstreamNode[]): UpstreamNode | undefined {
    if (this.#isStale) this.#refresh()
    const ready = this.#ready
    if (this.keepsLatency || this.#resting.length > 0) {
      const now = performance.now()
      this.pickedAt = now
      const trial = this.#trial(tried, now)
      if (trial !== undefined) return trial
    }
    if (ready.length === 1) return tried.includes(ready[0]!) ? undefined : ready[0]
    return this.#balance.pick(ready, tried, request, this.pickedAt)
  }

  /** Who would get a request with this key; asking changes nothing. */
  preview(balanceKey: PoolRequest['balanceKey']): Preview {
    if (this.#isStale) this.#refresh()
    const ready = this.#ready
    const saved = ready.map(({ current }) => current)
    const request = { balanceKey } as PoolRequest
    const isChance = this.strategy === 'random' || this.strategy === 'p2c'
    const picked =
      ready.length > 1 && isChance ? undefined : this.#balance.pick(ready, none, request, performance.now())
    for (const [index, current] of saved.entries()) ready[index]!.current = current
    const owner = picked && this.nodes.find(({ nodes }) => nodes.includes(picked))
    const nodes = this.nodes.map(({ id, state, nodes: all }) => [
      id,
      state !== 'up'
        ? state
        : all.some((node) => ready.includes(node))
          ? 'ready'
          : all.some(({ standing }) => standing.isOpen)
            ? 'breaker open'
            : all.length === 0
              ? 'no address'
              : 'out'
    ])
    return {
      strategy: this.strategy,
      ...(owner !== undefined && { next: owner.id }),
      nodes: Object.fromEntries(nodes) as Record<string, string>
    }
  }

  /** Settles when it is known where the nodes are. Nobody waits for a name server that takes its time: names are asked for further. */
  async located(): Promise<void> {
    const waiting = this.nodes.flatMap(({ located }) => located ?? [])
    if (waiting.length === 0) return
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.common.names.timeout)
    })
    await Promise.race([Promise.all(waiting), patience])
    clearTimeout(timer)
  }

  /** This config serves from here on: its weights, limits and checks are the ones that count. */
  activate(): void {
    this.#roster.activate(this)
  }

  onChange(): void {
    this.#isStale = true
  }

  /** Requests under way finish; idle connections of nodes that nobody else has end. */
  close(): void {
    this.#roster.leave(this)
  }

  /** A node whose time out is over gets one request to prove itself with. */
  #trial(tried: readonly UpstreamNode[], now: number): UpstreamNode | undefined {
    for (const node of this.#resting) {
      if (!tried.includes(node) && node.standing.takeTrial(now)) return node
    }
    return undefined
  }

  #refresh(): void {
    this.#isStale = false
    const all: UpstreamNode[] = []
    for (const member of this.nodes) if (member.isTaking) all.push(...member.nodes)
    const out = all.filter(({ standing }) => standing.isOut)
    const isPanicking = out.length > all.length * this.health.maxEjected
    if (isPanicking && !this.#isPanicking && all.length > 1) this.figures.panics += 1
    this.#isPanicking = isPanicking
    this.#ready = all.filter(({ standing }) => !standing.isOut || (isPanicking && !standing.isOpen))
    this.#resting = out
    let total = 0
    for (const { weight } of this.#ready) total += weight
    for (const node of this.#ready) {
      node.share = (node.weight * this.#ready.length) / total
      // What was saved up under other weights would be paid back in one run.
      node.current = 0
    }
  }
}

/** Nothing was tried yet. */
export const none: readonly UpstreamNode[] = []

const nothing: Sent = { cancel() {}, resume() {} }
