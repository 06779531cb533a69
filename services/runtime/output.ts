import type { Readable, Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** One line a process has written, or one the runtime says about it. */
export interface OutputLine {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly stream: 'stdout' | 'stderr' | 'runtime'
  readonly text: string
}

const longestLine = 8192

/** The last lines of one process, oldest first. */
export class Backlog {
  readonly #limit: number
  #lines: OutputLine[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  add(line: OutputLine): void {
    this.#lines.push(line)
    // Cut rarely: at twice the limit, so that a line costs no shift of the whole array.
    if (this.#lines.length >= this.#limit * 2) this.#lines = this.#lines.slice(-this.#limit)
  }

  last(count: number): readonly OutputLine[] {
    return count < 1 ? [] : this.#lines.slice(-Math.min(count, this.#limit))
  }
}

/**
 * Writes lines of many processes to one place, and holds the processes back while that place cannot keep up, so that a
 * chatty process blocks on its own pipe and does not grow the gateway's memory.
 */
export class Printer {
  readonly #output: Writable
  readonly #held = new Set<Readable>()

  constructor(output: Writable) {
    this.#output = output
    output.on('drain', this.#release)
  }

  print(line: string, source?: Readable): void {
    if (this.#output.writable && !this.#output.write(`${line}\n`) && source !== undefined) {
      this.#held.add(source)
      source.pause()
    }
  }

  close(): void {
    this.#output.off('drain', this.#release)
    this.#release()
  }

  readonly #release = (): void => {
    for (const source of this.#held) source.resume()
    this.#held.clear()
  }
}

/** Calls `take` for each line of a stream. A line longer than 8 KiB is cut, the rest of it is dropped and marked with "…". */
export function readLines(source: Readable, take: (text: string) => void): void {
  const decoder = new StringDecoder('utf8')
  let pending = ''
  const add = (text: string): void => {
    // One character above the limit is kept as the sign that the line is to be cut.
    if (pending.length <= longestLine) pending += text.slice(0, longestLine + 1 - pending.length)
  }
  const flush = (): void => {
    const line = pending.endsWith('\r') ? pending.slice(0, -1) : pending
    pending = ''
    take(line.length > longestLine ? `${line.slice(0, longestLine)}…` : line)
  }
  source.on('data', (chunk: Buffer) => {
    const [first = '', ...more] = decoder.write(chunk).split('\n')
    add(first)
    for (const text of more) {
      flush()
      add(text)
    }
  })
  source.on('end', () => {
    add(decoder.end())
    if (pending !== '') flush()
  })
  // A process that was killed may leave a broken pipe: there is nothing more to read, and nobody to tell.
  source.on('error', () => undefined)
}
