import { seedOf, type UpstreamNode } from './node.ts'
import type { KeySource, PoolRequest } from './pool.ts'

/** Picks one of the nodes that may be asked, never one of those that were `tried`; undefined when nobody else is left. */
export interface Balance {
  /** Whether it wants to know how long answers take. */
  readonly keepsLatency: boolean
  pick(
    nodes: readonly UpstreamNode[],
    tried: readonly UpstreamNode[],
    request: PoolRequest,
    now: number
  ): UpstreamNode | undefined
}

export type Strategy = 'round-robin' | 'least-connections' | 'p2c' | 'random'

export interface HashOptions {
  readonly source: KeySource
  /** For requests without the key. */
  readonly otherwise: Strategy
  /** Most that a node may have under way, as a multiple of the mean; 0 for no bound. */
  readonly maxLoad: number
}

export const balanceBy = (options: Strategy | HashOptions): Balance =>
  typeof options === 'string' ? strategies[options] : new Hash(options)

/** Smooth weighted round-robin: every node gains its weight, the richest pays the sum. */
const roundRobin: Balance = {
  keepsLatency: false,
  pick(nodes, tried) {
    let best: UpstreamNode | undefined
    let total = 0
    for (const node of nodes) {
      if (tried.length > 0 && tried.includes(node)) continue
      total += node.weight
      node.current += node.weight
      if (best === undefined || node.current > best.current) best = node
    }
    if (best !== undefined) best.current -= total
    return best
  }
}

/** Who has least under way for its weight; those who are equal take turns. */
const leastConnections: Balance = {
  keepsLatency: false,
  pick(nodes, tried) {
    let least = Number.POSITIVE_INFINITY
    for (const node of nodes) {
      const load = node.inFlight / node.weight
      if (load < least && !tried.includes(node)) least = load
    }
    let best: UpstreamNode | undefined
    let total = 0
    for (const node of nodes) {
      if (node.inFlight / node.weight > least || tried.includes(node)) continue
      total += node.weight
      node.current += node.weight
      if (best === undefined || node.current > best.current) best = node
    }
    if (best !== undefined) best.current -= total
    return best
  }
}

const random: Balance = {
  keepsLatency: false,
  pick: (nodes, tried) => drawn(nodes, tried, undefined)
}

/**
 * Two are drawn, and the one that is expected to be done sooner is preferred the more the clearer the difference is: with two that do
 * equally well, their weights decide.
 */
const powerOfTwo: Balance = {
  keepsLatency: true,
  pick(nodes, tried, _request, now) {
    const one = drawn(nodes, tried, undefined)
    if (one === undefined) return undefined
    const other = drawn(nodes, tried, one)
    if (other === undefined) return one
    // With more than two, the draw has seen to the weights already.
    const weighs = nodes.length - tried.length === 2
    const a = cost(one, now)
    const b = cost(other, now)
    const ratio = (b / a) ** 4 * (weighs ? one.weight / other.weight : 1)
    return Math.random() * (1 + ratio) < ratio ? one : other
  }
}

/** Milliseconds a further request would wait: a node that was not heard of yet is worth one try at a time. */
function cost(node: UpstreamNode, now: number): number {
  const latency = node.latencyAt(now)
  return (latency > 0.1 ? latency : 0.1) * (1 + node.inFlight / node.share)
}

/** One by weight, neither tried nor `not`. */
function drawn(
  nodes: readonly UpstreamNode[],
  tried: readonly UpstreamNode[],
  not: UpstreamNode | undefined
): UpstreamNode | undefined {
  let total = 0
  for (const node of nodes) if (node !== not && !tried.includes(node)) total += node.weight
  let left = Math.random() * total
  let last: UpstreamNode | undefined
  for (const node of nodes) {
    if (node === not || tried.includes(node)) continue
    last = node
    left -= node.weight
    if (left < 0) return node
  }
  return last
}

const strategies: Readonly<Record<Strategy, Balance>> = {
  'round-robin': roundRobin,
  'least-connections': leastConnections,
  p2c: powerOfTwo,
  random
}

/**
 * The same key to the same node, whichever gateway is asked (rendezvous hashing): every node draws a lot for the key, and the best lot
 * wins. A node that goes takes only its own keys with it, and one that comes takes its share from all.
 */
class Hash implements Balance {
  readonly keepsLatency: boolean
  readonly #source: KeySource
  readonly #otherwise: Balance
  readonly #maxLoad: number

  constructor({ source, otherwise, maxLoad }: HashOptions) {
    this.#source = source
    this.#otherwise = strategies[otherwise]
    this.#maxLoad = maxLoad
    this.keepsLatency = this.#otherwise.keepsLatency
  }

  pick(
    nodes: readonly UpstreamNode[],
    tried: readonly UpstreamNode[],
    request: PoolRequest,
    now: number
  ): UpstreamNode | undefined {
    const key = request.balanceKey(this.#source)
    if (key === undefined) return this.#otherwise.pick(nodes, tried, request, now)
    const hash = seedOf(key)
    const bound = this.#maxLoad === 0 ? Number.POSITIVE_INFINITY : this.#boundFor(nodes)
    let best: UpstreamNode | undefined
    let bestLot = Number.NEGATIVE_INFINITY
    let full: UpstreamNode | undefined
    let fullLot = Number.NEGATIVE_INFINITY
    for (const node of nodes) {
      if (tried.length > 0 && tried.includes(node)) continue
      const lot = node.weight / -Math.log(mixed(hash ^ node.seed))
      if (node.inFlight >= bound * node.share) {
        if (lot > fullLot) {
          full = node
          fullLot = lot
        }
      } else if (lot > bestLot) {
        best = node
        bestLot = lot
      }
    }
    return best ?? full
  }

  /** What a node of mean weight may have under way. */
  #boundFor(nodes: readonly UpstreamNode[]): number {
    let total = 1
    for (const { inFlight } of nodes) total += inFlight
    return Math.ceil((total * this.#maxLoad) / nodes.length)
  }
}

/** Evenly in (0, 1): the finaliser of MurmurHash3. */
function mixed(seed: number): number {
  let hash = seed
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 4_294_967_296
}
