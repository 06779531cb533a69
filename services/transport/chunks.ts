import { BrokenAnswer } from './answer-head.ts'

/** Longest line before a chunk. */
export const maxSizeLine = 4096
/** Most bytes that may be spent on what chunks are said to be, in one answer. */
const maxExtensions = 16 * 1024

const carriageReturn = 13
const lineFeed = 10
const semicolon = 59

/** The chunks of one body, and above all the lines before them, which say how large they are (RFC 9112 7.1). */
export class Chunks {
  /** Bytes of the chunk whose line was read last. */
  size = 0
  #extensions = 0

  begin(): void {
    this.#extensions = 0
  }

  /** Reads the line at `at` and returns where the chunk begins; `at` when more is needed. Throws BrokenAnswer. */
  read(input: Buffer, at: number, end: number): number {
    let size = 0
    let next = at
    for (; next < end; next += 1) {
      const digit = hexadecimal[input[next]!]!
      if (digit < 0) break
      size = size * 16 + digit
    }
    // More digits could not be counted exactly.
    if (next - at > 13 || (next === at && next < end)) throw new BrokenAnswer('chunk_size')
    if (next < end && input[next] === semicolon) {
      const extensionAt = next
      while (next < end && input[next] !== lineFeed && input[next] !== carriageReturn) next += 1
      if (next - at > maxSizeLine) throw new BrokenAnswer('chunk_size')
      if (next + 1 < end) this.#noteExtension(input, extensionAt, next)
    }
    if (next === end || !isLineEnd(input, next, end, 'chunk_size')) return at
    this.size = size
    return next + 2
  }

  /** The body as latin1 when all of it is there, and no trailers; undefined when it has to be read chunk by chunk. Throws BrokenAnswer. */
  readAll(input: Buffer, at: number, end: number): string | undefined {
    let body = ''
    let next = at
    this.begin()
    for (;;) {
      const dataAt = this.read(input, next, end)
      const dataEnd = dataAt + this.size
      if (dataAt === next || dataEnd >= end) return undefined
      if (this.size === 0 && input[dataAt] !== carriageReturn) return undefined
      if (!isLineEnd(input, dataEnd, end, 'chunk_end')) return undefined
      if (this.size === 0) return dataEnd + 2 === end ? body : undefined
      body += input.toString('latin1', dataAt, dataEnd)
      next = dataEnd + 2
    }
  }

  /** Extensions are read over (RFC 9112 7.1.1) and never handed on. */
  #noteExtension(input: Buffer, at: number, end: number): void {
    this.#extensions += end - at
    if (this.#extensions > maxExtensions || !extension.test(input.toString('latin1', at, end))) {
      throw new BrokenAnswer('chunk_size')
    }
  }
}

/** Whether a line ends at `at`; false when that is not to be known yet. Throws BrokenAnswer where it does not. */
export function isLineEnd(input: Buffer, at: number, end: number, code: string): boolean {
  if (input[at] !== carriageReturn) throw new BrokenAnswer(code)
  if (at + 1 === end) return false
  if (input[at + 1] !== lineFeed) throw new BrokenAnswer(code)
  return true
}

/** The value of a hexadecimal digit, -1 for all other bytes. */
const hexadecimal = new Int8Array(256).fill(-1)
for (const digit of '0123456789abcdefABCDEF') hexadecimal[digit.charCodeAt(0)] = Number.parseInt(digit, 16)

const extension =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*$/
