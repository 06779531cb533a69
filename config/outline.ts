import type { Pace } from './pace.ts'
import type { Span } from './source.ts'

/** A value of a file that can be read by itself. */
export interface Piece extends Span {
  /** How many keys its text has, repeated ones too. */
  readonly keys: number
}

/** One key at the top of a file; `items` are those of a list. */
export interface OutlineEntry extends Span {
  readonly name: string
  readonly key: Span
  readonly keys: number
  readonly items: readonly Piece[] | undefined
}

/** A file of JSON in pieces small enough to be read one by one. */
export interface Outline extends Span {
  readonly entries: readonly OutlineEntry[]
}

/** Nested deeper than this, a file is left to the parser that knows how to refuse it. */
const maxDepth = 100

/**
 * Where the values at the top of a file stand, and the items of those that are lists; comments and trailing commas are passed over.
 * Undefined for whatever looks wrong: to say what it is takes a parser that reads the file whole. What is inside of a piece is not
 * looked at, so that it has to be parsed before anybody may call the file good.
 */
export async function outlineOf(text: string, pace: Pace): Promise<Outline | undefined> {
  const scan = new Scan(text)
  const start = scan.next()
  if (text[start] !== '{') return undefined
  scan.at += 1
  const entries: OutlineEntry[] = []
  const names = new Set<string>()
  while (text[scan.next()] !== '}') {
    const key = scan.value()
    const name = key && nameIn(text.slice(key.start, key.end))
    if (name === undefined || name === '__proto__' || names.has(name)) return undefined
    if (text[scan.next()] !== ':') return undefined
    scan.at += 1
    const isList = text[scan.next()] === '['
    const value = isList ? await listAt(scan, pace) : scan.value()
    if (value === undefined) return undefined
    names.add(name)
    entries.push({ items: undefined, ...value, name, key: key! })
    if (!scan.comma('}')) return undefined
    if (pace.isDue) await pace.rest()
  }
  scan.at += 1
  const end = scan.at
  return scan.next() === text.length ? { start, end, entries } : undefined
}

async function listAt(
  scan: Scan,
  pace: Pace
): Promise<(Piece & { readonly items: readonly Piece[] }) | undefined> {
  const start = scan.at
  scan.at += 1
  const items: Piece[] = []
  let keys = 0
  while (scan.text[scan.next()] !== ']') {
    const item = scan.value()
    if (item === undefined) return undefined
    keys += item.keys
    items.push(item)
    if (!scan.comma(']')) return undefined
    if (pace.isDue) await pace.rest()
  }
  scan.at += 1
  return { start, end: scan.at, keys, items }
}

function nameIn(text: string): string | undefined {
  try {
    const name: unknown = JSON.parse(text)
    return typeof name === 'string' ? name : undefined
  } catch {
    return undefined
  }
}

/** Goes through a text from value to value. */
class Scan {
  readonly text: string
  at = 0

  constructor(text: string) {
    this.text = text
  }

  /** Moves on to what is neither space nor comment; the end of the text when there is nothing. */
  next(): number {
    const { text } = this
    for (;;) {
      const code = text.charCodeAt(this.at)
      if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) this.at += 1
      else if (code !== 0x2f || !this.#comment()) return this.at
    }
  }

  /** Passes over a comma, which may be left out before the closing bracket only. */
  comma(closing: string): boolean {
    const found = this.text[this.next()]
    if (found === ',') this.at += 1
    return found === ',' || found === closing
  }

  /** Passes over a value, whatever it is; undefined when it has no end. */
  value(): Piece | undefined {
    const { text } = this
    const start = this.at
    let depth = 0
    let keys = 0
    while (this.at < text.length) {
      const code = text.charCodeAt(this.at)
      if (code === 0x22) {
        if (!this.#string()) return undefined
        if (depth === 0) break
        continue
      }
      if (code === 0x2f) {
        if (depth === 0 || !this.#comment()) break
        continue
      }
      if (code === 0x7b || code === 0x5b) {
        depth += 1
        if (depth > maxDepth) return undefined
      } else if (code === 0x7d || code === 0x5d) {
        if (depth === 0) break
        depth -= 1
        if (depth === 0) {
          this.at += 1
          break
        }
      } else if (code === 0x3a) keys += 1
      else if (depth === 0 && (code === 0x2c || code <= 0x20)) break
      this.at += 1
    }
    return depth > 0 || this.at === start ? undefined : { start, end: this.at, keys }
  }

  #string(): boolean {
    const { text } = this
    for (let at = this.at + 1; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code === 0x5c) at += 1
      else if (code === 0x22) {
        this.at = at + 1
        return true
      }
    }
    return false
  }

  #comment(): boolean {
    const { text, at } = this
    if (text[at + 1] === '/') {
      const line = /[\r\n]/g
      line.lastIndex = at
      this.at = line.exec(text)?.index ?? text.length
      return true
    }
    if (text[at + 1] !== '*') return false
    const end = text.indexOf('*/', at + 2)
    if (end < 0) return false
    this.at = end + 2
    return true
  }
}
