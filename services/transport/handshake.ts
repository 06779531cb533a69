import type { Socket } from 'node:net'
import { BrokenAnswer } from './answer-head.ts'
import { AnswerParser } from './answer-parser.ts'
import { type Endpoint, openSocket, refusalReason } from './connection.ts'
import type { AnswerSink, Failure, Sent, Timeouts } from './transport.ts'

/** What a node answered to an upgrade. Anything but `onSwitch` goes the way of ordinary answers. */
export interface HandshakeSink extends AnswerSink {
  /** The node agreed: the socket is the sink's now; `rest` came behind the head already. */
  onSwitch(reason: string, headers: string[], rest: Buffer, socket: Socket): void
}

/** Asks one node for an upgrade, over a connection of its own that is never pooled. */
export class Handshake implements Sent {
  readonly #sink: HandshakeSink
  readonly #socket: Socket
  readonly #timeouts: Timeouts
  #timer: NodeJS.Timeout | undefined
  readonly #total: NodeJS.Timeout | undefined
  readonly #parser: AnswerParser
  #isOpen = false
  #hasHead = false
  #isOver = false

  constructor(endpoint: Endpoint, head: string, timeouts: Timeouts, sink: HandshakeSink) {
    this.#sink = sink
    this.#timeouts = timeouts
    this.#parser = this.#newParser()
    this.#parser.begin('GET', true)
    const opened = (): void => {
      this.#isOpen = true
      this.#arm(timeouts.response, 'response_timeout')
      this.#socket.write(head, 'latin1')
    }
    this.#socket = openSocket(endpoint, opened, { allowHalfOpen: true })
    this.#socket.setNoDelay(true)
    this.#arm(timeouts.connect, 'connect_timeout')
    if (timeouts.total > 0) {
      this.#total = setTimeout(() => this.#fail('timeout', 'total_timeout'), timeouts.total)
    }
    this.#socket.on('data', this.#onData)
    this.#socket.on('end', this.#onEnd)
    this.#socket.on('error', this.#onError)
    this.#socket.on('close', this.#onEnd)
  }

  cancel(): void {
    if (this.#isOver) return
    this.#leave()
    this.#socket.destroy()
  }

  resume(): void {
    if (!this.#isOver) this.#socket.resume()
  }

  readonly #onData = (chunk: Buffer): void => {
    try {
      if (this.#hasHead) this.#timer?.refresh()
      this.#parser.execute(chunk)
      if (this.#hasHead && !this.#isOver) this.#sink.onFlush()
    } catch (error) {
      this.#fail('broken', error instanceof BrokenAnswer ? error.code : 'reader', error)
    }
  }

  #newParser(): AnswerParser {
    return new AnswerParser({
      onSwitch: (reason, headers, rest) => {
        this.#leave()
        this.#socket.pause()
        this.#sink.onSwitch(reason, headers, rest, this.#socket)
      },
      onWhole: (status, reason, headers, body) => {
        this.#leave()
        this.#socket.destroy()
        this.#sink.onWhole(status, reason, headers, body)
      },
      onHead: (status, reason, headers) => {
        this.#hasHead = true
        this.#arm(this.#timeouts.idle, 'idle_timeout')
        this.#sink.onHead(status, reason, headers)
      },
      onBody: (chunk) => {
        if (!this.#sink.onData(chunk)) this.#socket.pause()
      },
      onEnd: (trailers) => {
        this.#leave()
        this.#socket.destroy()
        this.#sink.onEnd(trailers)
      }
    })
  }

  readonly #onEnd = (): void => {
    try {
      this.#parser.finish()
    } catch (error) {
      this.#fail('broken', error instanceof BrokenAnswer ? error.code : 'reader', error)
    }
  }

  readonly #onError = (error: Error): void => {
    if (this.#isOpen) this.#fail('broken', 'reset', error)
    else this.#fail('connect', refusalReason(error), error)
  }

  #arm(milliseconds: number, reason: string): void {
    clearTimeout(this.#timer)
    if (milliseconds > 0) this.#timer = setTimeout(() => this.#fail('timeout', reason), milliseconds)
  }

  #fail(kind: Failure['kind'], reason: string, cause?: unknown): void {
    if (this.#isOver) return
    this.#leave()
    this.#socket.destroy()
    const isUnsent = !this.#isOpen
    this.#sink.onFailure({ kind, reason, isUnsent, cause })
  }

  /** From here on the socket is somebody else's, or nobody's. */
  #leave(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    clearTimeout(this.#total)
    this.#socket.off('data', this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.off('close', this.#onEnd)
    this.#socket.off('error', this.#onError)
    // A socket without this listener takes the process down.
    this.#socket.on('error', () => {})
  }
}
