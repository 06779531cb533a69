import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FallbackOptions } from '../../services/release/slice.ts'
import type { Metrics } from '../../services/telemetry/metrics.ts'
import type { AnswerSink, Failure, Outgoing, Sent } from '../../services/transport/transport.ts'
import { maxKept } from '../../services/transport/upload.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { KeySource, Pool, PoolRequest } from '../../services/upstream/pool.ts'
import type { CompiledRoute } from '../table/route.ts'
import { BodyCopy, hasBody, keptBody } from './kept-body.ts'
import type { Assertion } from './request-headers.ts'

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

export interface FallbackPlan {
  readonly route: CompiledRoute
  /** The service that may not be there to ask. */
  readonly service: string
  readonly options: FallbackOptions
  /** Of `options.service`; undefined for a fixed answer. */
  readonly pool: Pool | undefined
  /** Tells the fallback who is asking; undefined where no service is told. */
  readonly assertion: Assertion | undefined
  readonly isOnce: boolean
  readonly count: Metrics['fallbacks']
}

/** What may be asked, and who answers while it cannot be. */
export interface Fallible {
  readonly pool: Pool
  readonly fallback: Fallback | undefined
}

/** Sends a request to a service, or to whoever answers in its place. */
export const sendTo = (
  { pool, fallback }: Fallible,
  request: PoolRequest,
  sink: AnswerSink,
  reply: FastifyReply
): Sent => (fallback === undefined ? pool.send(request, sink) : fallback.send(pool, request, sink, reply))

/** Who answers on a route when its service cannot be asked. */
export class Fallback {
  readonly plan: FallbackPlan
  /** Headers and body of a fixed answer. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: Buffer

  constructor(plan: FallbackPlan) {
    this.plan = plan
    const { headers, body } = plan.options
    this.body = Buffer.from(body)
    const isTyped = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type')
    this.headers = [
      ...(isTyped || body === '' ? [] : [['content-type', 'text/plain; charset=utf-8'] as const]),
      ...Object.entries(headers)
    ]
  }

  /** Sends a request to the service itself, and lets the fallback answer if that cannot be. */
  send(pool: Pool, request: PoolRequest, sink: AnswerSink, reply: FastifyReply): Sent {
    return new Turn(this, request, sink, reply).begin(pool)
  }
}

/** One request, up to its answer. */
class Turn implements PoolRequest, AnswerSink, Sent {
  readonly #fallback: Fallback
  readonly #request: PoolRequest
  readonly #sink: AnswerSink
  readonly #reply: FastifyReply
  readonly #asked: FastifyRequest
  readonly #body: BodyCopy | undefined
  #sent: Sent | undefined
  #first: Failure | undefined
  /** The body, for a service that is asked second. */
  #again: Outgoing['body']
  #isBegun = false
  #isCancelled = false

  constructor(fallback: Fallback, request: PoolRequest, sink: AnswerSink, reply: FastifyReply) {
    this.#fallback = fallback
    this.#request = request
    this.#sink = sink
    this.#reply = reply
    this.#asked = reply.request
    const { raw } = this.#asked
    // Until there is a connection no more than that is read, and once there was one only what is kept whole can be repeated.
    if (hasBody(raw)) this.#body = new BodyCopy(raw, 2 * maxKept, () => {})
  }

  begin(pool: Pool): Sent {
    const sent = pool.send(this.#request, this)
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

  onHead(status: number, reason: string, headers: string[]): void {
    this.#isBegun = true
    this.#body?.stop()
    this.#sink.onHead(status, reason, headers)
  }

  onData(chunk: Buffer): boolean {
    return this.#sink.onData(chunk)
  }

  onFlush(): void {
    this.#sink.onFlush()
  }

  onEnd(trailers: string[]): void {
    this.#sink.onEnd(trailers)
  }

  onFailure(failure: Failure): void {
    if (this.#isCancelled) return
    this.#body?.stop()
    if (this.#isBegun) this.#sink.onFailure(failure)
    else if (this.#first !== undefined) this.#sink.onFailure(isOfClient(failure) ? failure : this.#first)
    else if (this.#takes(failure)) this.#fallBack(failure)
    else this.#sink.onFailure(failure)
  }

  outgoingFor(node: UpstreamNode): Outgoing {
    const { pool, route, assertion } = this.#fallback.plan
    const { principal } = this.#asked.exchange
    const outgoing = this.#request.outgoingFor(node)
    const { connect, response, idle, total } = pool!.timeouts
    const headers = [...outgoing.headers]
    if (assertion !== undefined && principal !== undefined) {
      // Written for the service that was to answer: it is for nobody else to show.
      const at = headers.lastIndexOf(assertion.header)
      if (at >= 0) headers[at + 1] = assertion.of(principal)
    }
    return {
      ...outgoing,
      headers,
      body: this.#again,
      timeouts: {
        connect,
        response: route.responseTimeout ?? response,
        idle: route.idleTimeout ?? idle,
        total
      }
    }
  }

  onNode(node: UpstreamNode): void {
    this.#request.onNode(node)
  }

  balanceKey(source: KeySource): string | undefined {
    return this.#request.balanceKey(source)
  }

  /** The service could not be asked; or it could, took too long, and nobody minds asking twice. */
  #takes({ kind, isUnsent }: Failure): boolean {
    const { options, isOnce, pool } = this.#fallback.plan
    if (pool !== undefined && this.#body?.isWhole === false) return false
    if (isUnsent) return kind === 'connect' || kind === 'unavailable' || kind === 'timeout'
    const isRepeatable = !isOnce && idempotent.has(this.#asked.raw.method ?? '')
    return kind === 'timeout' && options.timeouts && isRepeatable
  }

  #fallBack(failure: Failure): void {
    const { service, options, pool, count } = this.#fallback.plan
    const { exchange } = this.#asked
    this.#first = failure
    exchange.node = undefined
    count.inc({ service, fallback: options.service ?? 'static', reason: failure.kind })
    exchange.detour = {
      service: options.service ?? service,
      side: exchange.detour?.side,
      fallback: failure.reason
    }
    if (pool === undefined) this.#answer(options.status!)
    else this.#askAnother(pool)
  }

  #askAnother(pool: Pool): void {
    const { raw } = this.#asked
    const kept = this.#body?.chunks
    if (kept !== undefined && raw.readableEnded) this.#again = keptBody(kept)
    else if (kept !== undefined) {
      // What was read goes back to the front of what was not.
      raw.pause()
      if (kept.length > 0) raw.unshift(Buffer.concat(kept))
      this.#again = raw
    }
    this.#sent = pool.send(this, this)
    if (this.#again === raw) raw.resume()
  }

  #answer(status: number): void {
    const { exchange, raw } = this.#asked
    const { headers, body } = this.#fallback
    // The gateway's own words: nothing in them is rewritten as if a node had said it.
    for (const [name, value] of headers) this.#reply.header(name, value)
    const isBare = status === 204 || status === 304
    this.onHead(status, STATUS_CODES[status] ?? '', isBare ? [] : ['Content-Length', String(body.length)])
    exchange.upstreamTime = undefined
    if (!isBare && body.length > 0 && raw.method !== 'HEAD') this.onData(body)
    this.onEnd([])
  }
}

const isOfClient = ({ kind }: Failure): boolean => kind === 'body-too-large' || kind === 'slow-client'
