import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AmbiguousPath, BodyTooLarge } from '../../errors.ts'
import { refused } from '../../plugins/authenticate/refusals.ts'
import { publicOrigin } from '../../plugins/public-origin.ts'
import type { OpenExchange, OpenExchanges } from '../../services/identity/open-exchanges.ts'
import type { Holder, Refusal } from '../../services/identity/parts.ts'
import type { HandshakeSink } from '../../services/transport/handshake.ts'
import type { Failure, Outgoing, Sent } from '../../services/transport/transport.ts'
import type { Tunnels } from '../../services/transport/tunnel.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { KeySource, PoolRequest } from '../../services/upstream/pool.ts'
import { sendUpgrade } from '../../services/upstream/upgrade.ts'
import type { CompiledRoute } from '../table/route.ts'
import {
  answerHeaders,
  harmlessTrailers,
  isEndless,
  type OwnHeaders,
  switchHeaders
} from './answer-headers.ts'
import { balanceKey } from './balance-key.ts'
import { type Fallible, sendTo } from './fallback.ts'
import { openTunnel } from './open-tunnel.ts'
import { outgoingFor } from './outgoing.ts'
import { problemOf } from './problems.ts'
import { type Assertion, headerRules, type RequestHeaders } from './request-headers.ts'
import { type PendingUpgrade, pendingUpgrade } from './upgrade.ts'

/** Everything the config decided about one route's requests. */
export interface Plan extends Fallible {
  readonly route: CompiledRoute
  readonly headers: RequestHeaders
  readonly tunnels: Tunnels
  readonly open: OpenExchanges
  /** Whether WebSockets and event streams end with the token that let them in. */
  readonly endsWithToken: boolean
  /** Whether a request is used up by being sent, so that it is not sent twice. */
  readonly isOnce: boolean
  readonly assertion: Assertion | undefined
  /** Whether any route to the service lists methods. */
  readonly keepsMethod: boolean
  /** Whether the gateway sets cookies of its own, which are none of a service's business. */
  readonly hidesCookies: boolean
}

/** How long a client may go on sending a body that nobody wants any more, before its connection is cut. */
const lingering = 5000

/** Bodies up to this size are worth a copy to save a write. */
const small = 8192

/** One proxied request: hands it to the pool and the answer to the client, as it comes. */
export class Call implements HandshakeSink, OpenExchange, PoolRequest {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #plan: Plan
  readonly #upgrade: PendingUpgrade | undefined
  #onAnswer: () => void = () => {}
  #node: UpstreamNode | undefined
  #sentAt = 0
  /** The request as any node gets it. */
  #path = ''
  #forwarded: string[] = []
  #sent: Sent | undefined
  #isOver = false
  /** True once the answer is ours to write, and Fastify's no more. */
  #isBegun = false
  #isHeadOut = false
  #held: Buffer | undefined
  /** What the node answered, for `write`. */
  #status = 502
  #reason = ''
  #headers: string[] = []

  constructor(request: FastifyRequest, reply: FastifyReply, plan: Plan) {
    this.#request = request
    this.#reply = reply
    this.#plan = plan
    this.#upgrade = pendingUpgrade(request.raw)
  }

  /** `onAnswer` is called once when an answer begins, and has to lead to `write`. Throws a problem when the request cannot be sent at all. */
  send(onAnswer: () => void): void {
    this.#onAnswer = onAnswer
    // The client left while the corridor was at work: nobody would hear of it a second time.
    if (this.#reply.raw.destroyed) return
    const { raw, exchange, id } = this.#request
    const length = raw.headers['content-length']
    const { maxBody } = this.#plan.route
    if (length !== undefined && Number(length) > maxBody.bytes) {
      throw BodyTooLarge([maxBody.size], { reason: 'body_size' })
    }
    const path = this.#plan.route.rewrite.forward(exchange.path)
    if (path === undefined) throw AmbiguousPath(['it cannot be rewritten'], { reason: 'rewrite' })
    this.#reply.raw.once('close', this.#onClose)
    if (exchange.principal !== undefined) {
      const revoked = this.#plan.open.add(this, exchange.startedAt)
      if (revoked !== undefined) throw refused(revoked)
    }
    this.#sentAt = performance.now()
    this.#path = path
    this.#forwarded = this.#plan.headers.write(raw, exchange, id, headerRules(this.#plan))
    if (this.#upgrade !== undefined) this.#forwarded.push('Connection', 'Upgrade', 'Upgrade', 'websocket')
    if (this.#upgrade === undefined) this.#sent = sendTo(this.#plan, this, this, this.#reply)
    else this.#sent = sendUpgrade(this.#plan.pool, this, this)
  }

  /** Only with a principal is a call kept among what is open. */
  get principal(): Holder {
    return this.#request.exchange.principal!
  }

  /** What let the request in is void: its answer ends, as a refusal where none has begun. */
  end(reason: Refusal): void {
    const { raw } = this.#reply
    if (raw.destroyed || raw.writableFinished || (this.#isOver && !this.#isBegun)) return
    this.#isOver = true
    this.#sent?.cancel()
    const problem = refused(reason)
    if (!this.#isBegun) {
      this.#lingerAfter()
      this.#reply.send(problem)
      return
    }
    this.#request.exchange.verdict = problem.code
    this.#request.exchange.reason = reason
    // An event stream has no last event; its clients ask for the rest by themselves, and are refused.
    if (isEndless(this.#headers)) this.#endAnswer()
    else this.#breakOff()
  }

  outgoingFor(node: UpstreamNode): Outgoing {
    return outgoingFor(node, this.#request, this.#plan, this.#path, this.#forwarded)
  }

  balanceKey(source: KeySource): string | undefined {
    return balanceKey(source, this.#request)
  }

  onNode(node: UpstreamNode): void {
    this.#node = node
    this.#request.exchange.node = node.name
  }

  onHead(status: number, reason: string, headers: string[]): void {
    this.#request.exchange.upstreamTime = performance.now() - this.#sentAt
    this.#status = status
    this.#reason = reason
    this.#headers = headers
    this.#onAnswer()
  }

  /** Puts the head of the answer on the client's connection, which is ours from here on. */
  write(): void {
    const { exchange, raw } = this.#request
    const headers = answerHeaders(this.#status, this.#headers, this.#reply.getHeaders() as OwnHeaders, {
      route: this.#plan.route,
      node: this.#node!,
      origin: publicOrigin(raw, exchange),
      hidesCookies: this.#plan.hidesCookies,
      isChunked: raw.httpVersion === '1.1' && raw.method !== 'HEAD'
    })
    this.#reply.hijack()
    this.#isBegun = true
    this.#reply.raw.writeHead(this.#status, this.#reason, headers)
    if (!raw.complete) this.#lingerAfter()
    if (this.#plan.endsWithToken && exchange.principal !== undefined && isEndless(this.#headers)) {
      this.#plan.open.endWithToken(this)
    }
  }

  onData(chunk: Buffer): boolean {
    if (!this.#isHeadOut && this.#held === undefined && chunk.length <= small) {
      // If this is all, it can share one write with the head.
      this.#held = chunk
      return true
    }
    return this.#write(this.#release(chunk))
  }

  onFlush(): void {
    if (this.#isOver) return
    if (this.#held !== undefined) {
      this.#write(this.#release())
      return
    }
    if (this.#isHeadOut) return
    this.#isHeadOut = true
    // Without this the head of a quiet stream would wait for its first event.
    this.#reply.raw.flushHeaders()
  }

  onEnd(trailers: string[]): void {
    this.#isOver = true
    if (trailers.length > 0) this.#reply.raw.addTrailers(harmlessTrailers(trailers))
    this.#endAnswer()
  }

  #endAnswer(): void {
    const { raw } = this.#reply
    // A string goes into the same write as the head; latin1 keeps every byte.
    if (this.#held !== undefined) raw.end(this.#held.toString('latin1'), 'latin1')
    else raw.end()
    // The service is done and its clock stopped; a client that does not fetch the rest has one as well.
    if (raw.writableLength > 0 && this.#idle > 0) {
      const timer = setTimeout(() => {
        this.#request.exchange.reason = 'send_timeout'
        raw.destroy()
      }, this.#idle).unref()
      raw.once('close', () => clearTimeout(timer))
    }
  }

  /** What was held back, with what came after it. */
  #release(chunk?: Buffer): Buffer {
    const held = this.#held
    this.#held = undefined
    if (held === undefined) return chunk!
    return chunk === undefined ? held : Buffer.concat([held, chunk])
  }

  #write(chunk: Buffer): boolean {
    this.#isHeadOut = true
    const { raw } = this.#reply
    if (raw.write(chunk)) return true
    raw.once('drain', this.#onDrain)
    return false
  }

  onFailure(failure: Failure): void {
    this.#isOver = true
    const { raw } = this.#reply
    const problem = problemOf(failure, this.#plan.route)
    if (raw.destroyed) return
    if (!this.#isBegun) {
      this.#lingerAfter()
      this.#reply.send(problem)
      return
    }
    this.#request.exchange.verdict = problem.code
    this.#request.exchange.reason = failure.reason
    this.#breakOff()
  }

  /**
   * A body that broke off must not look complete: the client's connection breaks as well, and where nothing but its end ends a
   * body it breaks audibly (RFC 9112 8).
   */
  #breakOff(): void {
    const { raw } = this.#reply
    if (this.#request.raw.httpVersion === '1.0') raw.socket?.resetAndDestroy()
    else raw.destroy()
  }

  /** The service agreed to speak WebSocket: its words go to the client, and from here on the bytes are none of our business. */
  onSwitch(reason: string, headers: string[], rest: Buffer, socket: Socket): void {
    this.#isOver = true
    const { raw } = this.#reply
    const { socket: client } = this.#upgrade!
    const early = this.#upgrade!.release()
    const own = this.#reply.getHeaders() as OwnHeaders
    this.#request.exchange.upstreamTime = performance.now() - this.#sentAt
    this.#reply.hijack()
    raw.sendDate = false
    raw.writeHead(101, reason, switchHeaders(headers, own, this.#plan.hidesCookies))
    raw.flushHeaders()
    raw.detachSocket(client)
    const tunnel = openTunnel(this.#plan, this.#request.exchange, [client, socket], this.#idle)
    tunnel.feed({ fromClient: early, fromUpstream: rest })
    // The exchange is over for everybody who counts them; the tunnel may last for days.
    raw.emit('close')
  }

  get #idle(): number {
    return this.#plan.route.idleTimeout ?? this.#plan.pool.timeouts.idle
  }

  readonly #onDrain = (): void => this.#sent?.resume()

  /** The client left: what the service does for it is not wanted any more. */
  readonly #onClose = (): void => {
    this.#plan.open.remove(this)
    if (this.#isOver) return
    this.#isOver = true
    this.#sent?.cancel()
  }

  /** An answer before the request's end: lets the client finish or notice, but not for ever. */
  #lingerAfter(): void {
    const { raw } = this.#request
    this.#reply.raw.once('finish', () => {
      if (raw.complete) return
      raw.resume()
      const timer = setTimeout(() => raw.destroy(), lingering).unref()
      raw.once('close', () => clearTimeout(timer))
      raw.once('end', () => clearTimeout(timer))
    })
  }
}
