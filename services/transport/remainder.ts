/** Lines up to this length are read again when more of them came. */
const shortLine = 256

const lineFeed = 10

/** What arrived of something that is not all there yet. */
export class Remainder {
  /** Begins with the bytes that are kept; what is behind `size` means nothing. */
  bytes: Buffer = nothing
  size = 0
  /** How many bytes are known not to end a line. */
  #scanned = 0

  /** Adds what came after the bytes that are kept. */
  add(input: Buffer, at: number, end: number): void {
    const size = this.size + end - at
    if (size > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * size)
      this.bytes.copy(larger, 0, 0, this.size)
      this.bytes = larger
    }
    input.copy(this.bytes, this.size, at, end)
    this.size = size
  }

  /** Keeps this part of `input`, which may be the bytes that were kept before, and nothing else. */
  keep(input: Buffer, at: number, end: number): void {
    if (input !== this.bytes || at > 0) {
      this.size = 0
      this.add(input, at, end)
    } else this.size = end
    this.#scanned = this.size > shortLine ? this.size : 0
  }

  clear(): void {
    this.bytes = nothing
    this.size = 0
    this.#scanned = 0
  }

  /** False when a long line is known to go on, so that it is not read again for each byte that comes. Asked once for what was added. */
  hasLine(): boolean {
    if (this.#scanned === 0) return true
    const found = this.bytes.indexOf(lineFeed, this.#scanned)
    return found >= 0 && found < this.size
  }
}

const nothing = Buffer.alloc(0)
