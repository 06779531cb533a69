import type { Writable } from 'node:stream'

/** Bytes that are gathered at most before they are written. */
const size = 64 * 1024
const lineFeed = 10

/**
 * Writes log lines in batches, and never makes a request wait: past `maxBuffered` bytes that the reader has not taken,
 * lines are dropped and counted.
 */
export class LineWriter {
  readonly #out: Writable
  readonly #maxBuffered: number
  readonly #timer: NodeJS.Timeout
  /** Lines as bytes. As a string they would be one tree of thousands of pieces, which outlives the collector's rounds and is copied in each. */
  readonly #room = Buffer.allocUnsafeSlow(size)
  #used = 0
  dropped = 0
  /** Told of the gateway's own messages, as finished JSON lines, whatever the format is here. */
  readonly listeners = new Set<(line: string) => void>()

  constructor(out: Writable, { maxBuffered = 8 * 1024 ** 2, interval = 100 } = {}) {
    this.#out = out
    this.#maxBuffered = maxBuffered
    this.#timer = setInterval(() => this.flush(), interval).unref()
  }

  write(line: string): void {
    // Three bytes are the most that a character of a string can take.
    const most = line.length * 3 + 1
    if (most > size - this.#used) this.flush()
    if (most > size) {
      this.#send(Buffer.from(`${line}\n`))
      return
    }
    this.#used += this.#room.write(line, this.#used)
    this.#room[this.#used] = lineFeed
    this.#used += 1
  }

  flush(): void {
    if (this.#used === 0) return
    const batch = Buffer.from(this.#room.subarray(0, this.#used))
    this.#used = 0
    this.#send(batch)
  }

  close(): void {
    clearInterval(this.#timer)
    this.flush()
  }

  #send(batch: Buffer): void {
    if (this.#out.writableLength > this.#maxBuffered) this.dropped += 1
    else this.#out.write(batch)
  }
}
