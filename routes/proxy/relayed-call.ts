import { Readable } from 'node:stream'
import type { Problem } from '../../errors.ts'
import type { Sent } from '../../services/transport/transport.ts'
import type { OwnHeaders } from './answer-headers.ts'
import { isEndless } from './answer-headers.ts'
import { Call } from './call.ts'
import { dispatch } from './release.ts'

/**
 * A call whose answer goes back through Fastify, so that hooks which look at payloads (onSend) get to see it. Names of headers come out in
 * lower case that way, and trailers are lost.
 */
export class RelayedCall extends Call {
  #onAnswer: () => void = () => {}
  status = 200
  readonly #body = new Readable({ read: () => this.sent?.resume() })

  protected dispatch(): Sent {
    return dispatch(this.plan, this, this.request, this.reply)
  }

  /** Sends the request; `onAnswer` is called when an answer begins, and has to lead to `reply`. */
  relay(onAnswer: () => void): void {
    this.#onAnswer = onAnswer
    this.send()
  }

  onWhole(status: number, reason: string, headers: string[], body: string): void {
    this.onHead(status, reason, headers)
    if (body !== '') this.#body.push(body, 'latin1')
    this.onEnd()
  }

  onHead(status: number, reason: string, headers: string[]): void {
    const { plan, reply } = this
    this.arrive()
    const own = reply.getHeaders() as OwnHeaders
    const written = plan.answerHeaders.write(status, headers, own, this)
    this.begin(headers)
    const isBodiless = this.request.raw.method === 'HEAD' || status === 204 || status === 304
    const fields = new Map<string, string[]>()
    for (let index = 0; index < written.length; index += 2) {
      const key = written[index]!.toLowerCase()
      // Fastify's own are there already.
      if (own[key] !== undefined && key !== 'set-cookie' && key !== 'vary') continue
      fields.set(key, [...(fields.get(key) ?? []), written[index + 1]!])
    }
    for (const [key, values] of fields) reply.header(key, values.length === 1 ? values[0] : values)
    reply.raw.statusMessage = reason
    this.status = status
    if (isBodiless) this.#body.push(null)
    if (plan.endsWithToken && this.request.exchange.principal !== undefined && isEndless(headers)) {
      plan.open.endWithToken(this)
    }
    this.#onAnswer()
  }

  /** Gives the answer to Fastify, and with it to whoever hooked into its payload. */
  answer(): void {
    const { raw } = this.reply
    // Fastify knows no status above 599; whoever got this far may have one.
    raw.statusCode = this.status
    // The head of a quiet stream does not wait for its first event. Only now are all headers on it.
    if (!this.isOver) raw.once('pipe', () => raw.write('', 'latin1'))
    this.reply.send(this.#body)
  }

  onData(chunk: Buffer): boolean {
    return this.#body.push(chunk)
  }

  onFlush(): void {}

  onEnd(): void {
    this.isOver = true
    this.endAnswer()
  }

  protected endAnswer(): void {
    if (!this.#body.readableEnded) this.#body.push(null)
  }

  /** Fastify breaks the client's connection, or sends the problem where nothing of the answer is out yet. */
  protected breakOff(problem: Problem): void {
    if (this.request.raw.httpVersion === '1.0' && this.reply.raw.headersSent) {
      this.reply.raw.socket?.resetAndDestroy()
    }
    this.#body.destroy(problem as Error)
  }
}
