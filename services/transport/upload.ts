import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Bodies up to this size are kept until the answer begins, so that they can be sent again. */
export const maxKept = 64 * 1024

export interface UploadEvents {
  onProgress(): void
  onEnd(): void
  onTooLarge(): void
}

/**
 * Carries one request body from the client to whichever connection takes it, with backpressure. It starts reading before a connection is
 * there and keeps what is small, so a body outlives the first connection when that one turns out to be dead.
 */
export class Upload {
  readonly #body: IncomingMessage
  readonly #isChunked: boolean
  readonly #maxBody: number
  readonly #events: UploadEvents
  #kept: Buffer[] | undefined = []
  #keptSize = 0
  #size = 0
  #socket: Socket | undefined
  #head = ''
  isEnded = false
  #isStopped = false

  constructor(body: IncomingMessage, isChunked: boolean, maxBody: number, events: UploadEvents) {
    this.#body = body
    this.#isChunked = isChunked
    this.#maxBody = maxBody
    this.#events = events
    body.on('data', this.#onData)
    body.on('end', this.#onEnd)
    // Ended by an earlier reader: nothing more will be emitted.
    if (body.readableEnded) this.isEnded = true
  }

  /** True while everything read so far can be sent once more. */
  get isReplayable(): boolean {
    return this.#kept !== undefined
  }

  /** True when it is the connection, not the client, that holds the body up. */
  get isBlocked(): boolean {
    return this.#body.isPaused()
  }

  /** Sends `head`, what is kept, and from now on everything else. */
  attach(socket: Socket, head: string): void {
    this.#socket = socket
    this.#head = head
    // A small body that is there in a moment shares a write, and so a packet, with the head.
    if (this.isEnded || this.#isChunked) this.#begin()
    else setImmediate(() => this.#begin())
  }

  /** Leaves the connection, which failed; `attach` may follow. */
  detach(): void {
    this.#socket?.off('drain', this.#onDrain)
    this.#socket = undefined
    this.#head = ''
  }

  /** Stops reading for good. What the client still sends is thrown away by the server. */
  stop(): void {
    this.#isStopped = true
    this.detach()
    this.#body.off('data', this.#onData)
    this.#body.off('end', this.#onEnd)
    this.#kept = undefined
  }

  #begin(): void {
    const socket = this.#socket
    const head = this.#head
    if (socket === undefined || head === '' || this.#isStopped) return
    this.#head = ''
    socket.on('drain', this.#onDrain)
    socket.cork()
    socket.write(head, 'latin1')
    for (const chunk of this.#kept ?? []) this.#write(chunk)
    if (this.isEnded && this.#isChunked) socket.write('0\r\n\r\n', 'latin1')
    socket.uncork()
    if (!this.isEnded) this.#body.resume()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#size += chunk.length
    if (this.#size > this.#maxBody) {
      this.stop()
      this.#events.onTooLarge()
      return
    }
    if (this.#kept !== undefined) {
      this.#keptSize += chunk.length
      if (this.#keptSize <= maxKept) this.#kept.push(chunk)
      // What goes over the limit waits for the connection; from then on it cannot be repeated.
      else if (this.#socket !== undefined && this.#head === '') this.#kept = undefined
      else {
        this.#kept.push(chunk)
        this.#body.pause()
      }
    }
    if (this.#socket === undefined || this.#head !== '') return
    if (!this.#write(chunk)) this.#body.pause()
    this.#events.onProgress()
  }

  readonly #onEnd = (): void => {
    this.isEnded = true
    if (this.#socket !== undefined && this.#head === '' && this.#isChunked) {
      this.#socket.write('0\r\n\r\n', 'latin1')
    } else this.#begin()
    this.#events.onEnd()
  }

  readonly #onDrain = (): void => {
    this.#body.resume()
    this.#events.onProgress()
  }

  #write(chunk: Buffer): boolean {
    const socket = this.#socket!
    if (!this.#isChunked) return socket.write(chunk)
    socket.cork()
    socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
    socket.write(chunk)
    const isTaken = socket.write('\r\n', 'latin1')
    socket.uncork()
    return isTaken
  }
}
