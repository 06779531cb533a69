import { atEndOfTurn } from '../../services/end-of-turn.ts'
import type { Sent } from '../../services/transport/transport.ts'
import type { OwnHeaders } from './answer-headers.ts'
import { harmlessTrailers, isEndless } from './answer-headers.ts'
import { Call } from './call.ts'
import { letGo } from './let-go.ts'
import { dispatch } from './release.ts'
import { endPlain, isPlain } from './whole-answer.ts'

/** Bodies up to this size are worth a copy to save a write. */
const small = 8192

/** A call whose answer is written straight to the client's connection, as it comes. */
export class DirectCall extends Call {
  #isHeadOut = false
  #held: Buffer | undefined
  #awaitsDrain = false

  protected dispatch(): Sent {
    return dispatch(this.plan, this, this.request, this.reply)
  }

  onWhole(status: number, reason: string, headers: string[], body: string): void {
    this.arrive()
    atEndOfTurn(() => {
      // The client may have left meanwhile, or may not go on.
      if (this.isOver) return
      this.isOver = true
      try {
        this.#writeWhole(status, reason, headers, body)
      } catch (cause) {
        this.onFailure({ kind: 'broken', reason: 'writer', isUnsent: false, cause })
      }
    })
  }

  onHead(status: number, reason: string, headers: string[]): void {
    const { plan } = this
    this.arrive()
    this.#writeHead(status, reason, headers)
    if (plan.endsWithToken && this.request.exchange.principal !== undefined && isEndless(headers)) {
      plan.open.endWithToken(this)
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
    if (this.isOver) return
    if (this.#held !== undefined) {
      this.#write(this.#release())
      return
    }
    if (this.#isHeadOut) return
    this.#isHeadOut = true
    // Without this the head of a quiet stream would wait for its first event. `flushHeaders` would write it as UTF-8.
    this.reply.raw.write('', 'latin1')
  }

  onEnd(trailers: string[]): void {
    this.isOver = true
    if (trailers.length > 0) this.reply.raw.addTrailers(harmlessTrailers(trailers))
    this.endAnswer()
  }

  protected endAnswer(): void {
    this.#end(this.#held === undefined ? '' : this.#held.toString('latin1'))
  }

  #writeWhole(status: number, reason: string, headers: string[], body: string): void {
    const { plan, reply, request } = this
    const { raw } = reply
    const own = this.#take(headers)
    const lines = isPlain(raw, status) ? plan.answerHeaders.lines(headers, own) : undefined
    if (lines === undefined) {
      raw.writeHead(status, reason, plan.answerHeaders.write(status, headers, own, this))
      this.#end(body)
      return
    }
    letGo(request.raw)
    endPlain(raw, status, reason, lines, body)
  }

  #writeHead(status: number, reason: string, headers: string[]): void {
    const { plan, reply } = this
    const own = this.#take(headers)
    reply.raw.writeHead(status, reason, plan.answerHeaders.write(status, headers, own, this))
  }

  /** Takes the answer out of Fastify's hands; the gateway's own headers. */
  #take(headers: readonly string[]): OwnHeaders {
    const { reply } = this
    this.begin(headers)
    const own = reply.getHeaders() as OwnHeaders
    reply.hijack()
    return own
  }

  #end(rest: string): void {
    const { raw } = this.reply
    const { socket } = raw
    letGo(this.request.raw)
    // A string goes into the same write as the head; latin1 keeps every byte.
    if (rest === '') raw.end()
    else if (socket === null || raw.chunkedEncoding) raw.end(rest, 'latin1')
    else {
      // By `end` alone the two and an empty string for the end would be gathered from a list.
      socket.cork()
      raw.write(rest, 'latin1')
      socket.uncork()
      raw.end()
    }
  }

  /**
   * A body that broke off must not look complete: the client's connection breaks as well, and where nothing but its end ends a
   * body it breaks audibly (RFC 9112 8).
   */
  protected breakOff(): void {
    const { raw } = this.reply
    if (this.request.raw.httpVersion === '1.0') raw.socket?.resetAndDestroy()
    else raw.destroy()
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
    const { raw } = this.reply
    if (raw.write(chunk)) return true
    // One read may bring thousands of chunks, and each of them comes here.
    if (this.#awaitsDrain) return false
    this.#awaitsDrain = true
    raw.once('drain', () => {
      this.#awaitsDrain = false
      this.sent?.resume()
    })
    return false
  }
}
