/** A line of the log and its size in bytes of UTF-8. */
export interface Line {
  readonly text: string
  readonly bytes: number
}

/**
 * Lines that wait, the oldest first, bounded by their bytes. What was taken out to be handed over counts as well until it is settled:
 * a sink never holds more than `maxBytes`, whatever becomes of its batches.
 */
export class LineQueue {
  readonly #maxBytes: number
  #lines: (Line | undefined)[] = []
  #head = 0
  #waitingBytes = 0
  #takenBytes = 0
  #takenLines = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Lines in the queue and on their way. */
  get length(): number {
    return this.#lines.length - this.#head + this.#takenLines
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#waitingBytes + this.#takenBytes
  }

  /** Lines that nobody has taken yet. */
  get waiting(): number {
    return this.#lines.length - this.#head
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Adds a line and returns how many were dropped for it: the oldest that wait, or the line itself where there is no room at all. */
  push(text: string): number {
    // Besides counting, this makes one text of the many pieces that a line was put together from.
    const bytes = Buffer.byteLength(text)
    let dropped = 0
    while (this.bytes + bytes > this.#maxBytes) {
      if (this.waiting === 0) return dropped + 1
      this.#shift()
      dropped += 1
    }
    this.#lines.push({ text, bytes })
    this.#waitingBytes += bytes
    return dropped
  }

  /** The oldest lines, as many as these bounds let go together and always one; they are on their way until `settle` or `putBack`. */
  take(maxLines: number, maxBytes: number): Line[] {
    const batch: Line[] = []
    let bytes = 0
    while (this.waiting > 0 && batch.length < maxLines) {
      const next = this.#lines[this.#head]!
      if (batch.length > 0 && bytes + next.bytes > maxBytes) break
      batch.push(next)
      bytes += next.bytes
      this.#shift()
    }
    this.#takenBytes += bytes
    this.#takenLines += batch.length
    return batch
  }

  /** What was taken is gone. */
  settle(batch: readonly Line[]): void {
    this.#takenBytes -= bytesOf(batch)
    this.#takenLines -= batch.length
  }

  /** What was taken waits again, before all others. */
  putBack(batch: readonly Line[]): void {
    this.settle(batch)
    this.#lines = [...batch, ...this.#lines.slice(this.#head)]
    this.#head = 0
    this.#waitingBytes += bytesOf(batch)
  }

  /** Drops everything that waits, and returns how many lines that were. */
  clear(): number {
    const count = this.waiting
    this.#lines = []
    this.#head = 0
    this.#waitingBytes = 0
    return count
  }

  #shift(): void {
    this.#waitingBytes -= this.#lines[this.#head]!.bytes
    this.#lines[this.#head] = undefined
    this.#head += 1
    this.#compact()
  }

  /** Gives the emptied front back, seldom enough to cost nothing. */
  #compact(): void {
    if (this.#head < 1024 || this.#head * 2 < this.#lines.length) return
    this.#lines = this.#lines.slice(this.#head)
    this.#head = 0
  }
}

const bytesOf = (batch: readonly Line[]): number => batch.reduce((sum, { bytes }) => sum + bytes, 0)
