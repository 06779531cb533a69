import { Attempt, type AttemptOwner, type Setback } from '../transport/attempt.ts'
import type { AnswerSink, Outgoing, Sent } from '../transport/transport.ts'
import { maxKept } from '../transport/upload.ts'
import type { UpstreamNode } from './node.ts'
import type { Pool, PoolRequest } from './pool.ts'

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

/** One request on its way: decides, after each setback, whether and where it is tried again. */
export class Delivery implements AttemptOwner {
  readonly #pool: Pool
  readonly #request: PoolRequest
  #node: UpstreamNode
  #attempt: Attempt | undefined
  #isRepeatable = false
  #maxIdle = 0
  #retries = 0
  #hasMetStale = false

  constructor(pool: Pool, request: PoolRequest, node: UpstreamNode) {
    this.#pool = pool
    this.#request = request
    this.#node = node
  }

  begin(sink: AnswerSink): Sent {
    const node = this.#node
    const outgoing = this.#request.outgoingFor(node)
    this.#isRepeatable = mayBeSeenTwice(outgoing)
    this.#maxIdle = idleLimit(outgoing)
    const attempt = new Attempt(outgoing, sink, this)
    this.#attempt = attempt
    this.#request.onNode(node)
    attempt.start(node.client, this.#maxIdle)
    return attempt
  }

  onSetback(setback: Setback): void {
    const attempt = this.#attempt!
    const node = this.#node
    if (setback.kind === 'connect' || setback.reason === 'connect_timeout') this.#pool.eject(node)
    if (setback.isRepeatable && setback.wasStale && !this.#hasMetStale && this.#isRepeatable) {
      this.#hasMetStale = true
      attempt.start(node.client, 0)
      return
    }
    const next = this.#nextAfter(setback)
    if (next === undefined) {
      attempt.fail(setback)
      return
    }
    this.#retries += 1
    this.#node = next
    this.#request.onNode(next)
    attempt.redirect(this.#request.outgoingFor(next))
    attempt.start(next.client, setback.wasStale ? 0 : this.#maxIdle)
  }

  /** Who is asked next; undefined where nobody may be. */
  #nextAfter(setback: Setback): UpstreamNode | undefined {
    if (!setback.isRepeatable || this.#retries >= this.#pool.attempts) return undefined
    if (!mayRepeat(setback, this.#isRepeatable)) return undefined
    const next = this.#pool.pick(this.#node)
    return next === this.#node && setback.isUnsent ? undefined : next
  }

  onAnswer(): void {}

  onOver(): void {}
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
