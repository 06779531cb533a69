import type { Writable } from 'node:stream'

/**
 * Writes log lines in batches, and never makes a request wait: past `maxBuffered` bytes that the reader has not taken,
 * lines are dropped and counted.
 */
export class LineWriter {
  readonly #out: Writable
  readonly #maxBuffered: number
  readonly #timer: NodeJS.Timeout
  #batch = ''
  dropped = 0
  /** Told of the gateway's own messages, as finished JSON lines, whatever the format is here. */
  readonly listeners = new Set<(line: string) => void>()

  constructor(out: Writable, { maxBuffered = 8 * 1024 ** 2, interval = 100 } = {}) {
    this.#out = out
    this.#maxBuffered = maxBuffered
    this.#timer = setInterval(() => this.flush(), interval).unref()
  }

  write(line: string): void {
    this.#batch += `${line}\n`
    if (this.#batch.length > 64 * 1024) this.flush()
  }

  flush(): void {
    if (this.#batch === '') return
    const batch = this.#batch
    this.#batch = ''
    if (this.#out.writableLength > this.#maxBuffered) this.dropped += 1
    else this.#out.write(encode(batch))
  }

  close(): void {
    clearInterval(this.#timer)
    this.flush()
  }
}

/** Three bytes are the most that a character of a string can take. */
const room = Buffer.allocUnsafeSlow(3 * 80 * 1024)

/** As UTF-8. Straight into memory that is there already, and copied from it: to find out first how long it will be takes as long again. */
const encode = (text: string): Buffer =>
  text.length * 3 > room.length ? Buffer.from(text) : Buffer.from(room.subarray(0, room.write(text)))
