/**
 * Knows where in a stream of WebSocket frames (RFC 6455 5.2) it is, without holding or changing any of it, so that the gateway can put a
 * close frame of its own between two frames and never into one.
 */
export class FrameTracker {
  #header = 0
  #size = 2
  #length = 0
  #lengthEnd = 2
  #left = 0

  /** True between two frames. */
  get isAtBoundary(): boolean {
    return this.#header === 0 && this.#left === 0
  }

  /** Follows `chunk`; returns the index behind it, or with `stops` the index of the first frame end in it. */
  follow(chunk: Buffer, stops = false): number {
    let at = 0
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at)
        this.#left -= step
        at += step
      } else this.#take(chunk[at++]!)
      if (stops && this.isAtBoundary) return at
    }
    return at
  }

  /** One byte of a frame header. */
  #take(byte: number): void {
    const index = this.#header
    this.#header += 1
    if (index === 0) {
      this.#size = 2
      this.#length = 0
    } else if (index === 1) {
      const length = byte & 0x7f
      this.#size += (length === 126 ? 2 : length === 127 ? 8 : 0) + (byte & 0x80 ? 4 : 0)
      this.#length = length < 126 ? length : 0
      this.#lengthEnd = length === 126 ? 4 : length === 127 ? 10 : 2
    } else if (index < this.#lengthEnd) this.#length = this.#length * 256 + byte
    if (this.#header < this.#size || index === 0) return
    this.#header = 0
    this.#left = this.#length
  }
}

/** A close frame with a status code and no reason; masked when it goes to a server (RFC 6455 5.3). */
export function closeFrame(code: number, isMasked: boolean): Buffer {
  const payload = [code >> 8, code & 0xff]
  // A mask of zeros is a valid one; nothing here has to be hidden from a middlebox.
  return Buffer.from(isMasked ? [0x88, 0x82, 0, 0, 0, 0, ...payload] : [0x88, 2, ...payload])
}
