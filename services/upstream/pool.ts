import type { AnswerSink, Outgoing, Sent, Timeouts } from '../transport/transport.ts'
import { Delivery } from './delivery.ts'
import type { UpstreamNode } from './node.ts'

/** A request as the pool sees it, and who wants to know what becomes of it. */
export interface PoolRequest {
  /** The request written for a node: its Host and the path in front are the node's. */
  outgoingFor(node: UpstreamNode): Outgoing
  /** Told who gets it, once for each node that is tried. */
  onNode(node: UpstreamNode): void
}

export interface PoolOptions {
  readonly name: string
  readonly nodes: readonly UpstreamNode[]
  readonly timeouts: Timeouts
  /** Milliseconds a node that refuses connections is left alone. */
  readonly eject: number
  readonly attempts: number
}

/** The nodes of one service. It outlives reloads as long as the service's settings stay the same. */
export class Pool {
  readonly name: string
  readonly nodes: readonly UpstreamNode[]
  readonly timeouts: Timeouts
  readonly #eject: number
  readonly attempts: number

  constructor({ name, nodes, timeouts, eject, attempts }: PoolOptions) {
    this.name = name
    this.nodes = nodes
    this.timeouts = timeouts
    this.#eject = eject
    this.attempts = attempts
  }

  /** Sends one request to a node and, where that is safe, to another one. */
  send(request: PoolRequest, sink: AnswerSink): Sent {
    const first = this.pick(undefined)
    if (first === undefined) {
      queueMicrotask(() => sink.onFailure({ kind: 'unavailable', reason: 'no_node', isUnsent: true }))
      return nothing
    }
    return new Delivery(this, request, first).begin(sink)
  }

  /** The next node in turn, by weight. Skips ejected nodes and `not`, unless nobody else is left. */
  pick(not: UpstreamNode | undefined, now: number = performance.now()): UpstreamNode | undefined {
    return (
      this.#turn((node) => node !== not && node.ejectedUntil <= now) ??
      this.#turn((node) => node !== not) ??
      this.#turn(() => true)
    )
  }

  /** Leaves a node alone for a while. */
  eject(node: UpstreamNode): void {
    if (this.#eject > 0) node.ejectedUntil = performance.now() + this.#eject
  }

  /** Requests under way finish; idle connections end. */
  close(): void {
    for (const node of this.nodes) node.client.close()
  }

  /** Smooth weighted round-robin: every node gains its weight, the richest pays the sum. */
  #turn(isEligible: (node: UpstreamNode) => boolean): UpstreamNode | undefined {
    let best: UpstreamNode | undefined
    let total = 0
    for (const node of this.nodes) {
      if (node.weight === 0 || !isEligible(node)) continue
      total += node.weight
      node.current += node.weight
      if (best === undefined || node.current > best.current) best = node
    }
    if (best !== undefined) best.current -= total
    return best
  }
}

const nothing: Sent = { cancel() {}, resume() {} }
