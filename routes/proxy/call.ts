import type { FastifyReply, FastifyRequest } from 'fastify'
import { AmbiguousPath, BodyTooLarge, type Problem } from '../../errors.ts'
import { refused } from '../../plugins/authenticate/refusals.ts'
import { publicOrigin } from '../../plugins/public-origin.ts'
import type { OpenExchange } from '../../services/identity/open-exchanges.ts'
import type { Holder, Refusal } from '../../services/identity/parts.ts'
import type { AnswerSink, Failure, Outgoing, Sent } from '../../services/transport/transport.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { KeySource, PoolRequest } from '../../services/upstream/pool.ts'
import type { CompiledRoute } from '../table/route.ts'
import { isEndless, type Place } from './answer-headers.ts'
import { balanceKey } from './balance-key.ts'
import type { Plan } from './plan.ts'
import { problemOf } from './problems.ts'

/** How long a client may go on sending a body that nobody wants any more, before its connection is cut. */
const lingering = 5000

/**
 * One proxied request, from the corridor's end to the answer's. What it does with an answer is for who extends it to say; that the
 * request goes out, that it fails, that the client leaves or may not go on, is the same for all.
 */
export abstract class Call implements PoolRequest, AnswerSink, OpenExchange, Place {
  protected readonly request: FastifyRequest
  protected readonly reply: FastifyReply
  protected readonly plan: Plan
  openAt = -1
  protected sent: Sent | undefined
  protected isOver = false
  /** True once an answer has begun. */
  protected isBegun = false
  protected headers: readonly string[] = []
  /** The request as any node gets it. */
  #path = ''
  #lines = ''
  #node: UpstreamNode | undefined
  #sentAt = 0

  constructor(request: FastifyRequest, reply: FastifyReply, plan: Plan) {
    this.request = request
    this.reply = reply
    this.plan = plan
  }

  abstract onWhole(status: number, reason: string, headers: string[], body: string): void
  abstract onHead(status: number, reason: string, headers: string[]): void
  abstract onData(chunk: Buffer): boolean
  abstract onFlush(): void
  abstract onEnd(trailers: string[]): void
  /** Ends an answer that is incomplete so that nobody takes it for a whole one. */
  protected abstract breakOff(problem: Problem): void
  /** Ends an answer that has no end of its own. */
  protected abstract endAnswer(): void
  /** Hands the request to the pool. */
  protected abstract dispatch(): Sent

  /** Sends the request on its way. Throws a problem when it cannot be sent at all. */
  send(): void {
    const { raw, exchange, id } = this.request
    const { plan } = this
    // The client left while the corridor was at work: nobody would hear of it a second time.
    if (this.reply.raw.destroyed) return
    const length = raw.headers['content-length']
    if (length !== undefined && Number(length) > plan.maxBody) {
      throw BodyTooLarge([plan.route.maxBody.size], { reason: 'body_size' })
    }
    const path = plan.route.rewrite.forward(exchange.path)
    if (path === undefined) throw AmbiguousPath(['it cannot be rewritten'], { reason: 'rewrite' })
    exchange.answering = this
    const { principal, startedAt } = exchange
    if (principal !== undefined) {
      const revoked = plan.open.add(this, startedAt)
      if (revoked !== undefined) throw refused(revoked)
    }
    this.#path = path + exchange.query
    this.#lines = plan.headers.write(raw, exchange, id, plan.rules)
    this.#sentAt = performance.now()
    this.sent = this.dispatch()
  }

  outgoingFor(node: UpstreamNode): Outgoing {
    const { raw, exchange } = this.request
    const { route, isOnce, maxBody, timeouts } = this.plan
    const announced = raw.headers['content-length']
    const length = announced === undefined ? undefined : Number(announced)
    const hasBody = length === undefined ? raw.headers['transfer-encoding'] !== undefined : length > 0
    return {
      method: raw.method!,
      path: node.base + this.#path,
      host: route.preserveHost && exchange.authority !== '' ? exchange.authority : node.authority,
      headers: this.#lines,
      body: hasBody ? raw : undefined,
      length,
      maxBody,
      isOnce,
      timeouts
    }
  }

  balanceKey(source: KeySource): string | undefined {
    return balanceKey(source, this.request)
  }

  onNode(node: UpstreamNode): void {
    this.#node = node
    this.request.exchange.node = node.name
  }

  /** Only with a principal is a call kept among what is open. */
  get principal(): Holder {
    return this.request.exchange.principal!
  }

  get route(): CompiledRoute {
    return this.plan.route
  }

  get node(): UpstreamNode {
    return this.#node!
  }

  get origin(): string {
    return publicOrigin(this.request.raw, this.request.exchange)
  }

  get isChunked(): boolean {
    const { raw } = this.request
    return raw.httpVersion === '1.1' && raw.method !== 'HEAD'
  }

  get ownsCors(): boolean {
    return this.request.exchange.ownsCors
  }

  get hidesCookies(): boolean {
    return this.plan.hidesCookies
  }

  /** Notes that an answer is there. */
  protected arrive(): void {
    this.request.exchange.upstreamTime = performance.now() - this.#sentAt
  }

  /** Notes that the client's answer begins. */
  protected begin(headers: readonly string[]): void {
    const { exchange, raw } = this.request
    this.headers = headers
    exchange.onAnswer?.(headers)
    this.isBegun = true
    if (!raw.complete) this.lingerAfter()
  }

  /** What let the request in is void: its answer ends, as a refusal where none has begun. */
  end(reason: Refusal): void {
    const { raw } = this.reply
    const { exchange } = this.request
    if (raw.destroyed || raw.writableFinished || (this.isOver && !this.isBegun)) return
    this.isOver = true
    this.sent?.cancel()
    const problem = refused(reason)
    if (!this.isBegun) {
      this.lingerAfter()
      this.reply.send(problem)
      return
    }
    exchange.verdict = problem.code
    exchange.reason = reason
    // An event stream has no last event; its clients ask for the rest by themselves, and are refused.
    if (isEndless(this.headers)) this.endAnswer()
    else this.breakOff(problem)
  }

  onFailure(failure: Failure): void {
    this.isOver = true
    const { exchange } = this.request
    const problem = problemOf(failure, this.plan.route)
    if (this.reply.raw.destroyed) return
    if (!this.isBegun) {
      this.lingerAfter()
      this.reply.send(problem)
      return
    }
    exchange.verdict = problem.code
    exchange.reason = failure.reason
    this.breakOff(problem)
  }

  /** The listener watches over clients that do not take what is ready for them. */
  get isClientBehind(): boolean {
    return (this.reply.raw.socket?.writableLength ?? 0) > 0
  }

  /** The exchange is over; where the client left before the answer's end, what the service does for it is not wanted any more. */
  onClose(): void {
    if (this.request.exchange.principal !== undefined) this.plan.open.remove(this)
    if (this.isOver) return
    this.isOver = true
    this.sent?.cancel()
  }

  protected get idle(): number {
    return this.plan.timeouts.idle
  }

  /** An answer before the request's end: lets the client finish or notice, but not for ever. */
  protected lingerAfter(): void {
    const { raw } = this.request
    this.reply.raw.once('finish', () => {
      if (raw.complete) return
      raw.resume()
      const timer = setTimeout(() => raw.destroy(), lingering).unref()
      raw.once('close', () => clearTimeout(timer))
      raw.once('end', () => clearTimeout(timer))
    })
  }
}
