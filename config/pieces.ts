import { parseJson } from './json.ts'
import type { ConfigMemory } from './memory.ts'
import { type Outline, outlineOf } from './outline.ts'
import type { Pace } from './pace.ts'
import { pointerOf } from './pointer.ts'
import { plainOf, type SourceNode, type Span } from './source.ts'

/** A text with a reference, or an escape that may stand for one, has to be looked at value by value; most need not. */
export const mayRefer = /\$\{|\\[ux]/

/** A part of a file that may refer to what is outside of it. */
export interface Part {
  readonly pointer: string
  readonly node: SourceNode
  /** Puts the value with everything replaced where it belongs. */
  put(value: unknown): void
}

/** A file without flaws that was read piece by piece. */
export interface Pieces {
  readonly root: SourceNode
  /** The plain value; what `referring` names is missing in it until it is put there. */
  readonly value: Readonly<Record<string, unknown>>
  readonly referring: readonly Part[]
  /** The texts of the items of each list that hold no reference, by index. */
  readonly texts: ReadonlyMap<string, readonly (string | undefined)[]>
  /** Values that an earlier config had as well: they are whole, sound and frozen. */
  readonly known: ReadonlySet<unknown>
}

/**
 * Reads JSON with comments piece by piece. Undefined for whatever has a flaw: to tell it, the text has to be read whole. No place is
 * looked for until somebody asks for one.
 */
export async function readPieces(
  text: string,
  pace: Pace,
  memory: ConfigMemory | undefined
): Promise<Pieces | undefined> {
  const outline = await outlineOf(text, pace)
  if (outline === undefined) return undefined
  const value: Record<string, unknown> = {}
  const referring: Part[] = []
  const texts = new Map<string, readonly (string | undefined)[]>()
  const known = new Set<unknown>()
  memory?.begin()
  for (const { name, items, ...entry } of outline.entries) {
    // A reference in a key is a mistake, told where the file is read whole.
    if (mayRefer.test(name)) return undefined
    const own: (string | undefined)[] = []
    const list: unknown[] = []
    if (items !== undefined) {
      value[name] = list
      texts.set(name, own)
    }
    for (const [index, piece] of (items ?? [entry]).entries()) {
      const written = text.slice(piece.start, piece.end)
      const isItem = items !== undefined
      const put = (found: unknown): void => {
        if (isItem) list[index] = found
        else value[name] = found
      }
      const refers = mayRefer.test(written)
      const before = isItem && !refers ? memory?.find(name, written) : undefined
      const found = before ?? plainIn(written, piece.keys)
      if (found === flawed) return undefined
      put(found)
      if (before !== undefined) known.add(before)
      if (isItem) own.push(refers ? undefined : written)
      if (refers) {
        const pointer = isItem ? pointerOf(name, index) : pointerOf(name)
        referring.push({ pointer, node: new PieceNode(text, piece), put })
      }
      if (pace.isDue) await pace.rest()
    }
  }
  return { root: rootOf(text, outline), value, referring, texts, known }
}

const flawed = Symbol('flawed')

/** The value of a piece. Of a key that is there twice the parser of the language says nothing: there are fewer than the `keys` of the text. */
function plainIn(text: string, keys: number | undefined): unknown {
  try {
    const value: unknown = JSON.parse(text)
    if (keys === undefined || keysIn(value) === keys) return value
  } catch {
    // It has comments, or a comma too many, or is wrong.
  }
  const { root, flaws } = parseJson(text)
  return root === undefined || flaws.length > 0 ? flawed : plainOf(root, (_, scalar) => scalar)
}

/** How many keys a value has in all; none of them may be one that no object may have. */
function keysIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value) count += keysIn(item)
    return count
  }
  for (const key in value) {
    if (key === '__proto__') return Number.NaN
    count += 1 + keysIn((value as Record<string, unknown>)[key])
  }
  return count
}

/** The tree of the file: what stands in a piece is looked up when it is asked for, and not kept. */
function rootOf(text: string, { start, end, entries }: Outline): SourceNode {
  const nodes = new Map<string, SourceNode>()
  for (const { name, key, items, ...span } of entries) {
    const whole = new PieceNode(text, span, key)
    const value =
      items === undefined
        ? undefined
        : ({ kind: 'array', items: items.map((item) => new PieceNode(text, item)) } as const)
    nodes.set(name, value === undefined ? whole : { start: span.start, end: span.end, key, value })
  }
  return { start, end, value: { kind: 'object', entries: nodes } }
}

/** A piece of a text without flaws. */
export class PieceNode implements SourceNode {
  readonly start: number
  readonly end: number
  readonly key?: Span
  readonly #whole: string

  constructor(whole: string, { start, end }: Span, key?: Span) {
    this.#whole = whole
    this.start = start
    this.end = end
    if (key !== undefined) this.key = key
  }

  get text(): string {
    return this.#whole.slice(this.start, this.end)
  }

  get value(): SourceNode['value'] {
    return parseJson(this.text, this.start).root!.value
  }

  get plain(): unknown {
    return plainIn(this.text, undefined)
  }
}
