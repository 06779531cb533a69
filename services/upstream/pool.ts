import { Attempt, type Setback } from '../transport/attempt.ts'
import type { AnswerSink, Outgoing, Sent, Timeouts } from '../transport/transport.ts'
import { maxKept } from '../transport/upload.ts'
import type { UpstreamNode } from './node.ts'

/** What a request needs to know of the node that gets it: its Host and the path in front. */
export type Prepare = (node: UpstreamNode) => Outgoing

export interface PoolOptions {
  readonly name: string
  readonly nodes: readonly UpstreamNode[]
  readonly timeouts: Timeouts
  /** Milliseconds a node that refuses connections is left alone. */
  readonly eject: number
  readonly attempts: number
}

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

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

  /** Sends one request to a node and, where that is safe, to another one. `onNode` is told who got it. */
  send(prepare: Prepare, sink: AnswerSink, onNode: (node: UpstreamNode) => void): Sent {
    const first = this.pick(undefined)
    if (first === undefined) {
      queueMicrotask(() => sink.onFailure({ kind: 'unavailable', reason: 'no_node', isUnsent: true }))
      return nothing
    }
    const outgoing = prepare(first)
    const isRepeatable = mayBeSeenTwice(outgoing)
    let node = first
    const maxIdle = idleLimit(outgoing)
    let retries = 0
    let staleRetries = 0
    const attempt: Attempt = new Attempt(outgoing, sink, (setback) => {
      if (setback.kind === 'connect' || setback.reason === 'connect_timeout') this.eject(node)
      if (!setback.isRepeatable) return attempt.fail(setback)
      if (setback.wasStale && staleRetries === 0 && isRepeatable) {
        staleRetries += 1
        return attempt.start(node.client, 0)
      }
      if (retries >= this.attempts || !mayRepeat(setback, isRepeatable)) return attempt.fail(setback)
      const next = this.pick(node)
      if (next === undefined || (next === node && setback.isUnsent)) return attempt.fail(setback)
      retries += 1
      node = next
      onNode(node)
      attempt.redirect(prepare(node))
      attempt.start(node.client, setback.wasStale ? 0 : maxIdle)
    })
    onNode(node)
    attempt.start(node.client, maxIdle)
    return attempt
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

/** What was never sent may go elsewhere; what may have been seen only when seeing it twice does no harm (RFC 9110 9.2.2). */
const mayRepeat = ({ isUnsent, isClosed }: Setback, isRepeatable: boolean): boolean =>
  isUnsent || (isClosed && isRepeatable)

const mayBeSeenTwice = ({ method, isOnce }: Outgoing): boolean => isOnce !== true && idempotent.has(method)

/**
 * How long a connection may have been idle to be given this request: a node closes idle ones at any moment. What can be repeated takes any,
 * what can be repeated but not from what is kept of its body a new one, and the rest one that was just in use.
 */
function idleLimit(outgoing: Outgoing): number {
  if (!mayBeSeenTwice(outgoing)) return 1000
  const { body, length } = outgoing
  const isKept = body === undefined || (length !== undefined && length <= maxKept)
  return isKept ? Number.POSITIVE_INFINITY : 0
}

const nothing: Sent = { cancel() {}, resume() {} }
