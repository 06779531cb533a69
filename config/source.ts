import type { Place } from './mistake.ts'
import type { Pieces } from './pieces.ts'
import { keysOf, pointerOf } from './pointer.ts'

export interface Span {
  readonly start: number
  readonly end: number
}

/** One value of a config file with its place in the text, whichever language the file is written in. */
export interface SourceNode extends Span {
  /** Where the key stands that this is the value of; array items and the whole file have none. */
  readonly key?: Span
  readonly value:
    | { readonly kind: 'object'; readonly entries: ReadonlyMap<string, SourceNode> }
    | { readonly kind: 'array'; readonly items: readonly SourceNode[] }
    | { readonly kind: 'scalar'; readonly scalar: string | number | boolean | null }
}

/** What is wrong with the text itself. */
export interface Flaw extends Span {
  readonly sentence: string
  readonly suggestion?: string
  /** The rest of the file can still be understood. */
  readonly harmless?: boolean
}

/** What a parser makes of a text. */
export interface Parsed {
  readonly root: SourceNode | undefined
  readonly flaws: readonly Flaw[]
}

/** Where a pointer leads: to the value, to the key before it, or to the key of a collection and the value of a scalar. */
export type Aim = 'value' | 'key' | 'entry'

/** A config file as it was written: values, and the line and column of each. */
export class Source implements Parsed {
  readonly file: string
  readonly text: string
  readonly root: SourceNode | undefined
  readonly flaws: readonly Flaw[]
  /** What was read of it already, where it was read piece by piece. */
  readonly pieces: Pieces | undefined
  #starts: readonly number[] | undefined

  constructor(file: string, text: string, { root, flaws }: Parsed, pieces?: Pieces) {
    this.file = file
    this.text = text
    this.root = root
    this.flaws = flaws
    this.pieces = pieces
  }

  /** Where each line starts; most files are never asked for a place. */
  get #lines(): readonly number[] {
    this.#starts ??= lineStarts(this.text)
    return this.#starts
  }

  /** The place of a pointer; of the nearest thing around it when the file does not have it. */
  locate(pointer: string, aim: Aim = 'value'): Place {
    let node = this.root
    if (node === undefined) return this.place({ start: 0, end: 0 })
    for (const key of keysOf(pointer)) {
      const next: SourceNode | undefined = childOf(node, key)
      if (next === undefined) return this.place(node.key ?? openingOf(node))
      node = next
    }
    if (aim === 'key' || (aim === 'entry' && node.value.kind !== 'scalar')) {
      return this.place(node.key ?? openingOf(node))
    }
    return this.place(openingOf(node))
  }

  /** Line and column of a span; one that starts behind the last word of its line, or of the file, is moved to that. */
  place({ start, end }: Span): Place {
    const last = Math.max(0, this.text.trimEnd().length - 1)
    const from = Math.min(start, last)
    const lines = this.#lines
    let low = 0
    let high = lines.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (lines[middle]! <= from) low = middle
      else high = middle - 1
    }
    const line = this.text.slice(lines[low], lines[low + 1]).trimEnd()
    const column = Math.min(from - lines[low]!, Math.max(0, line.length - 1))
    const length = Math.min(end - lines[low]!, line.length) - column
    return { line: low + 1, column: column + 1, length: Math.max(1, length) }
  }
}

export function childOf({ value }: SourceNode, key: string): SourceNode | undefined {
  if (value.kind === 'object') return value.entries.get(key)
  return value.kind === 'array' ? value.items[Number(key)] : undefined
}

/** Calls `visit` for every scalar of a tree with its pointer. */
export function eachScalar(
  node: SourceNode,
  visit: (pointer: string, scalar: string | number | boolean | null, node: SourceNode) => void,
  pointer = ''
): void {
  const { value } = node
  if (value.kind === 'scalar') visit(pointer, value.scalar, node)
  else if (value.kind === 'array') {
    for (const [index, item] of value.items.entries()) eachScalar(item, visit, `${pointer}/${index}`)
  } else {
    for (const [key, entry] of value.entries) {
      eachScalar(entry, visit, pointer + pointerOf(key))
    }
  }
}

/** The plain value of a tree, each scalar as `turn` gives it. */
export function plainOf(
  node: SourceNode,
  turn: (pointer: string, scalar: string | number | boolean | null, node: SourceNode) => unknown,
  pointer = ''
): unknown {
  const { value } = node
  if (value.kind === 'scalar') return turn(pointer, value.scalar, node)
  if (value.kind === 'array')
    return value.items.map((item, index) => plainOf(item, turn, `${pointer}/${index}`))
  const plain: Record<string, unknown> = {}
  for (const [key, entry] of value.entries) {
    plain[key] = plainOf(entry, turn, pointer + pointerOf(key))
  }
  return plain
}

/** A collection is shown by its first character, a scalar whole, and nothing (as in YAML's "key:") by its key. */
function openingOf(node: SourceNode): Span {
  if (node.value.kind !== 'scalar') return { start: node.start, end: node.start + 1 }
  return node.start === node.end ? (node.key ?? node) : node
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    // "\r\n" is the end of one line.
    if (code === 0x0a || (code === 0x0d && text.charCodeAt(at + 1) !== 0x0a)) starts.push(at + 1)
  }
  return starts
}
