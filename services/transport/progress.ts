import type { Socket } from 'node:net'

/** How much of what was written to a socket the kernel has not taken yet; libuv's own count, as Node's timeouts of sockets use it. */
type Queued = Socket & { readonly _handle?: { readonly writeQueueSize?: number } | null }

/**
 * Tells from two looks at a socket whether anything moved between them, in either direction. Nothing is counted while bytes pass: the
 * socket and the kernel do that anyway.
 */
export class Progress {
  readonly socket: Socket
  #read = 0
  #readAt = 0
  #written = 0
  #queued = 0
  #writtenAt = 0

  constructor(socket: Socket) {
    this.socket = socket
  }

  /** Milliseconds for which a peer that is waited for has sent nothing; 0 at the first look. */
  silence(isAwaited: boolean, now: number): number {
    const { bytesRead } = this.socket
    if (!isAwaited || bytesRead !== this.#read || this.#readAt === 0) {
      this.#read = bytesRead
      this.#readAt = isAwaited ? now : 0
      return 0
    }
    return now - this.#readAt
  }

  /** Milliseconds for which a peer has taken nothing of what is ready for it; 0 where nothing is. */
  standstill(now: number): number {
    const { writableLength, bytesWritten } = this.socket
    if (writableLength === 0) {
      this.#writtenAt = 0
      return 0
    }
    // Whole writes that are done, and how far the one under way is.
    const written = bytesWritten - writableLength
    const queued = (this.socket as Queued)._handle?.writeQueueSize ?? 0
    if (written !== this.#written || queued !== this.#queued || this.#writtenAt === 0) {
      this.#written = written
      this.#queued = queued
      this.#writtenAt = now
      return 0
    }
    return now - this.#writtenAt
  }
}
