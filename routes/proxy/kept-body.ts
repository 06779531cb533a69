import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'

/** A body that was read before, for a transport that reads it as it would read a request's. */
export const keptBody = (chunks: readonly Buffer[]): IncomingMessage =>
  Readable.from(chunks, { objectMode: false }) as IncomingMessage

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
  isWhole = true

  constructor(raw: IncomingMessage, max: number, onTooLarge: () => void) {
    this.#raw = raw
    this.#max = max
    this.#onTooLarge = onTooLarge
    // Not `on`: that would set the body in motion, before anybody else listens (node:stream, "Two reading modes").
    raw.prependListener('data', this.#onData)
  }

  stop(): void {
    this.#raw.off('data', this.#onData)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#size += chunk.length
    this.chunks.push(chunk)
    if (this.#size <= this.#max) return
    this.isWhole = false
    this.chunks = []
    this.stop()
    this.#onTooLarge()
  }
}
