import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FallbackOptions } from '../../services/release/slice.ts'
import type { Metrics } from '../../services/telemetry/metrics.ts'
import type { AnswerSink, Failure, Outgoing, Sent } from '../../services/transport/transport.ts'
import { maxKept } from '../../services/transport/upload.ts'
import { idempotent } from '../../services/upstream/delivery.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { KeySource, Pool, PoolRequest } from '../../services/upstream/pool.ts'
import { BodyCopy, hasBody, keptBody, unread } from './kept-body.ts'
import type { Plan } from './plan.ts'

/** Who answers on a route when a service cannot be asked. */
export class Fallback {
  /** The route's plan for the service that may not be there to ask. */
  readonly own: Plan
  readonly options: FallbackOptions
  /** The route's plan for the service that is asked instead; undefined for a fixed answer. */
  readonly plan: Plan | undefined
  readonly count: Metrics['fallbacks']
  /** Headers and body of a fixed answer. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: Buffer

  constructor(own: Plan, options: FallbackOptions, plan: Plan | undefined, count: Metrics['fallbacks']) {
    const { headers, body } = options
    this.own = own
    this.options = options
    this.plan = plan
    this.count = count
    this.body = Buffer.from(body)
    const isTyped = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type')
    this.headers = [
      ...(isTyped || body === '' ? [] : [['content-type', 'text/plain; charset=utf-8'] as const]),
      ...Object.entries(headers)
    ]
  }

  /** Sends a request to the service itself, and lets the fallback answer if that cannot be. */
  send(call: PoolRequest & AnswerSink, request: FastifyRequest, reply: FastifyReply): Sent {
    return new Turn(this, call, request, reply).begin()
  }
}

/** One request, up to its answer. */
class Turn implements PoolRequest, AnswerSink, Sent {
  readonly #fallback: Fallback
  readonly #call: PoolRequest & AnswerSink
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  #body: BodyCopy | undefined
  #sent: Sent | undefined
  #first: Failure | undefined
  /** The body, for a service that is asked second. */
  #again: Outgoing['body']
  #isBegun = false
  #isCancelled = false

  constructor(
    fallback: Fallback,
    call: PoolRequest & AnswerSink,
    request: FastifyRequest,
    reply: FastifyReply
  ) {
    this.#fallback = fallback
    this.#call = call
    this.#request = request
    this.#reply = reply
    const { raw } = request
    // Until there is a connection no more than that is read, and once there was one only what is kept whole can be repeated.
    if (hasBody(raw)) this.#body = new BodyCopy(raw, 2 * maxKept, () => {})
  }

  begin(): Sent {
    const sent = this.#fallback.own.pool.send(this.#call, this)
    // It may have failed already, and then another one is under way.
    this.#sent ??= sent
    return this
  }

  cancel(): void {
    this.#isCancelled = true
    this.#body?.stop()
    this.#sent?.cancel()
  }

  resume(): void {
    this.#sent?.resume()
  }

  onWhole(status: number, reason: string, headers: string[], body: string): void {
    this.#forgetBody()
    this.#call.onWhole(status, reason, headers, body)
  }

  onHead(status: number, reason: string, headers: string[]): void {
    this.#isBegun = true
    this.#forgetBody()
    this.#call.onHead(status, reason, headers)
  }

  onData(chunk: Buffer): boolean {
    return this.#call.onData(chunk)
  }

  onFlush(): void {
    this.#call.onFlush()
  }

  onEnd(trailers: string[]): void {
    this.#call.onEnd(trailers)
  }

  get isClientBehind(): boolean {
    return this.#call.isClientBehind === true
  }

  onFailure(failure: Failure): void {
    if (this.#isCancelled) return
    this.#body?.stop()
    if (this.#isBegun) this.#call.onFailure(failure)
    else if (this.#first !== undefined) this.#call.onFailure(isOfClient(failure) ? failure : this.#first)
    else if (this.#takes(failure)) this.#fallBack(failure)
    else this.#call.onFailure(failure)
  }

  outgoingFor(node: UpstreamNode): Outgoing {
    const { headers, rules, timeouts } = this.#fallback.plan!
    const { raw, exchange, id } = this.#request
    return Object.assign(this.#call.outgoingFor(node), {
      // Not those of the service that was to answer: what tells it who is asking is for nobody else to show.
      headers: headers.write(raw, exchange, id, rules),
      body: this.#again,
      timeouts
    })
  }

  onNode(node: UpstreamNode): void {
    this.#call.onNode(node)
  }

  balanceKey(source: KeySource): string | undefined {
    return this.#call.balanceKey(source)
  }

  /** Somebody answers, perhaps for days: what was kept for another is not needed. */
  #forgetBody(): void {
    this.#body?.stop()
    this.#body = undefined
    this.#again = undefined
  }

  /** The service could not be asked; or it could, took too long, and nobody minds asking twice. */
  #takes({ kind, isUnsent }: Failure): boolean {
    const { own, options, plan } = this.#fallback
    if (plan !== undefined && this.#body?.isWhole === false) return false
    if (isUnsent) return kind === 'connect' || kind === 'unavailable' || kind === 'timeout'
    const isRepeatable = !own.isOnce && idempotent.has(this.#request.raw.method ?? '')
    return kind === 'timeout' && options.timeouts && isRepeatable
  }

  #fallBack(failure: Failure): void {
    const { own, options, plan, count } = this.#fallback
    const service = own.pool.name
    const { exchange } = this.#request
    this.#first = failure
    exchange.node = undefined
    count.inc({ service, fallback: options.service ?? 'static', reason: failure.kind })
    exchange.detour = {
      service: options.service ?? service,
      side: exchange.detour?.side,
      fallback: failure.reason
    }
    if (plan === undefined) this.#answer(options.status!)
    else this.#askAnother(plan.pool)
  }

  #askAnother(pool: Pool): void {
    const { raw } = this.#request
    const kept = this.#body?.chunks
    if (kept !== undefined && raw.readableEnded) this.#again = keptBody(kept)
    else if (kept !== undefined) {
      // What was read goes back to the front of what was not.
      raw.pause()
      unread(raw, kept)
      this.#again = raw
    }
    this.#sent = pool.send(this, this)
    if (this.#again === raw) raw.resume()
  }

  #answer(status: number): void {
    const { exchange, raw } = this.#request
    const { headers, body } = this.#fallback
    // The gateway's own words: nothing in them is rewritten as if a node had said it.
    for (const [name, value] of headers) this.#reply.header(name, value)
    const isBare = status === 204 || status === 304
    const length = isBare ? [] : ['Content-Length', String(body.length)]
    const text = isBare || raw.method === 'HEAD' ? '' : body.toString('latin1')
    this.#call.onWhole(status, STATUS_CODES[status] ?? '', length, text)
    // Nobody was asked for so long.
    exchange.upstreamTime = undefined
  }
}

const isOfClient = ({ kind }: Failure): boolean => kind === 'body-too-large' || kind === 'slow-client'
