import { atEndOfTurn } from '../end-of-turn.ts'
import { Attempt, type AttemptOwner, type Setback } from '../transport/attempt.ts'
import type { AnswerSink, Failure, Outgoing, Sent } from '../transport/transport.ts'
import { maxKept } from '../transport/upload.ts'
import { isFault } from './fault.ts'
import type { UpstreamNode } from './node.ts'
import { none, type Pool, type PoolRequest } from './pool.ts'

/** Methods that do no harm when they are seen twice (RFC 9110 9.2.2). */
export const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

/** Most nodes that are asked for room in their queue. */
const maxFull = 8

/** What a failure counts as in milliseconds, however fast it came: who fails at once is not to look like the fastest. */
const failedLatency = 1000

/** One request on its way: decides, after each setback, whether and where it is tried again, and tells the nodes how they did. */
export class Delivery implements AttemptOwner {
  readonly #pool: Pool
  readonly #request: PoolRequest
  #node: UpstreamNode
  #next: UpstreamNode | undefined
  #tried: UpstreamNode[] | undefined
  #attempt: Attempt | undefined
  #body: Outgoing['body']
  #isRepeatable = false
  #maxIdle = 0
  #retries = 0
  #status = 0
  #startedAt = 0
  #hasMetStale = false
  /** Whether the node is counting on hearing how this went, and whether it is out and this is its trial. */
  #isAtNode = false
  #isTrial = false

  constructor(pool: Pool, request: PoolRequest, node: UpstreamNode) {
    this.#pool = pool
    this.#request = request
    this.#node = node
  }

  begin(sink: AnswerSink): Sent {
    const node = this.#node
    const outgoing = this.#request.outgoingFor(node)
    this.#body = outgoing.body
    this.#isRepeatable = mayBeSeenTwice(outgoing)
    this.#maxIdle = idleLimit(outgoing)
    const attempt = new Attempt(outgoing, sink, this)
    this.#attempt = attempt
    this.#enter(node)
    atEndOfTurn(() => {
      if (!attempt.isOver) attempt.start(node.client, this.#maxIdle)
    })
    return attempt
  }

  onSetback(setback: Setback): void {
    const attempt = this.#attempt!
    const node = this.#node
    if (setback.isRepeatable && setback.wasStale && !this.#hasMetStale && this.#isRepeatable) {
      this.#hasMetStale = true
      attempt.start(node.client, 0)
      return
    }
    this.#leave(setback)
    const next = this.#next ?? this.#nextAfter(setback)
    this.#next = undefined
    if (next === undefined) {
      attempt.fail(setback)
      return
    }
    if (setback.reason !== 'queue_full') this.#pool.figures.retries += 1
    this.#node = next
    this.#enter(next)
    attempt.redirect(this.#request.outgoingFor(next))
    attempt.start(next.client, setback.wasStale ? 0 : this.#maxIdle)
  }

  /** Returns true for an answer that the client is not to see, because another node is asked. */
  onAnswer(status: number, isRepeatable: boolean): boolean {
    const { retry } = this.#pool
    if (this.#pool.keepsLatency) this.#observe(0)
    this.#status = status
    if (retry.statuses.size > 0 && retry.statuses.has(status)) {
      if (isRepeatable && this.#isRepeatable && this.#retries < retry.attempts) {
        this.#next = this.#another(true)
        if (this.#next !== undefined) return true
      }
    }
    // A stream may last for days: its node has proved itself with the head.
    if (this.#isTrial) {
      this.#judge(undefined)
      // Once is enough.
      this.#status = 0
    }
    return false
  }

  onOver(failure: Failure | undefined): void {
    this.#leave(failure)
  }

  #enter(node: UpstreamNode): void {
    node.inFlight += 1
    this.#isAtNode = true
    this.#isTrial = node.standing.isOut
    this.#startedAt = this.#pool.pickedAt
    this.#status = 0
    this.#request.onNode(node)
  }

  #leave(failure: Failure | undefined): void {
    if (!this.#isAtNode) return
    this.#isAtNode = false
    this.#node.inFlight -= 1
    this.#judge(failure)
  }

  #observe(least: number): void {
    const now = performance.now()
    this.#node.observe(Math.max(least, now - this.#startedAt), now)
  }

  /** Only what the node is to blame for counts against it, and only an answer for it. */
  #judge(failure: Failure | undefined): void {
    const { standing } = this.#node
    const { health } = this.#pool
    const isTrial = this.#isTrial
    this.#isTrial = false
    if (failure !== undefined && isFault(failure, this.#body)) {
      if (this.#pool.keepsLatency) this.#observe(failedLatency)
      standing.fail(isTrial, health)
    } else if (this.#status >= 500 && health.serverErrors) standing.fail(isTrial, health)
    else if (this.#status !== 0 && failure === undefined) standing.succeed(isTrial)
    else if (isTrial) standing.release()
  }

  /** Who is asked next; undefined where nobody may be. */
  #nextAfter(setback: Setback): UpstreamNode | undefined {
    if (!setback.isRepeatable || !mayRepeat(setback, this.#isRepeatable)) return undefined
    // Nothing has left the gateway yet: asking the next for room costs nobody anything.
    if (setback.reason === 'queue_full' && (this.#tried?.length ?? 0) < maxFull) {
      return this.#pool.pick(this.#request, this.#triedNow())
    }
    if (this.#retries >= this.#pool.retry.attempts) return undefined
    if (!setback.isUnsent) return this.#another(false)
    this.#retries += 1
    return this.#pool.pick(this.#request, this.#triedNow())
  }

  /** For what the service may have seen: within the budget, and from the same node again when there is no other. */
  #another(isAnswered: boolean): UpstreamNode | undefined {
    const pool = this.#pool
    if (!pool.budget.take(isAnswered)) {
      pool.figures.retriesRefused += 1
      return undefined
    }
    this.#retries += 1
    return pool.pick(this.#request, this.#triedNow()) ?? pool.pick(this.#request, none)
  }

  #triedNow(): readonly UpstreamNode[] {
    this.#tried ??= []
    this.#tried.push(this.#node)
    return this.#tried
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
