import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'

/** A body that was read before, for a transport that reads it as it would read a request's. */
export const keptBody = (chunks: readonly Buffer[]): IncomingMessage =>
  Readable.from(chunks, { objectMode: false }) as IncomingMessage

/** Tells whoever copies a body that so many bytes come a second time. */
const putBack = Symbol('put back')

/** Puts what was read of a body back to the front of what was not, for the next one who reads it. */
export function unread(raw: IncomingMessage, chunks: readonly Buffer[]): void {
  if (chunks.length === 0) return
  const read = Buffer.concat(chunks)
  raw.emit(putBack, read.length)
  raw.unshift(read)
}

/** Whether a request has a body, by its framing (RFC 9112 6). */
export function hasBody({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const length = headers['content-length']
  return length === undefined ? headers['transfer-encoding'] !== undefined : Number(length) > 0
}

/**
 * Copies a request's body as it passes, up to a size. It only looks on: it neither makes the body flow nor holds it up, so whoever reads
 * it for real decides the pace.
 */
export class BodyCopy {
  readonly #raw: IncomingMessage
  readonly #max: number
  readonly #onTooLarge: () => void
  chunks: Buffer[] = []
  #size = 0
  /** Bytes that come again, and are copied already. */
  #known = 0
  isWhole = true

  constructor(raw: IncomingMessage, max: number, onTooLarge: () => void) {
    this.#raw = raw
    this.#max = max
    this.#onTooLarge = onTooLarge
    // Not `on`: that would set the body in motion, before anybody else listens (node:stream, "Two reading modes").
    raw.prependListener('data', this.#onData)
    raw.on(putBack, this.#onPutBack)
  }

  stop(): void {
    this.#raw.off('data', this.#onData)
    this.#raw.off(putBack, this.#onPutBack)
  }

  readonly #onPutBack = (size: number): void => {
    this.#known += size
  }

  readonly #onData = (data: Buffer): void => {
    const chunk = this.#known === 0 ? data : data.subarray(this.#known)
    this.#known -= data.length - chunk.length
    if (chunk.length === 0) return
    this.#size += chunk.length
    this.chunks.push(chunk)
    if (this.#size <= this.#max) return
    this.isWhole = false
    this.chunks = []
    this.stop()
    this.#onTooLarge()
  }
}
