import { isDeepStrictEqual } from 'node:util'
import type { LoadedConfig } from './config.ts'
import type { Check, Report } from './mistake.ts'
import { Pace } from './pace.ts'
import { keysOf } from './pointer.ts'
import { readSource } from './read.ts'
import { secretMask } from './sentence.ts'
import { eachScalar, plainOf } from './source.ts'

/** A text to become the config, and where it has the mask of a secret that nobody knows. */
export interface Unmasked {
  readonly text: string
  readonly refused: readonly string[]
}

/** Without this a text cannot hold the mask, nor one that is written with escapes. */
const mayBeMasked = /\[secret\]|\\/

/**
 * Turns a config that was read with its secrets masked into one to be written: each mask that stands where the present config shows
 * the very same gets what the present one has there. Items of lists are found by their `id`, others only when they are the same
 * altogether, so that no secret ends up beside what it was not given for.
 */
export async function unmask(
  file: string,
  text: string,
  { redacted, plain }: Pick<LoadedConfig, 'redacted' | 'plain'>
): Promise<Unmasked> {
  if (!mayBeMasked.test(text)) return { text, refused: [] }
  const source = await readSource(file, text, new Pace())
  const { root, text: read } = source
  if (root === undefined) return { text, refused: [] }
  const refused: string[] = []
  const values = new Map<number, { readonly end: number; readonly value: string; readonly pointer: string }>()
  const whole = plainOf(root, (_, scalar) => scalar)
  eachScalar(root, (pointer, scalar, { start, end }) => {
    if (typeof scalar !== 'string' || !scalar.includes(secretMask)) return
    const keys = counterpart(keysOf(pointer), whole, redacted)
    const kept = keys && at(plain, keys)
    const isKept = keys !== undefined && at(redacted, keys) === scalar && isScalar(kept)
    // In JSON form, which is YAML's as well. Two aliases to one text must not want two values.
    const value = JSON.stringify(kept)
    const other = values.get(start)?.value ?? value
    if (isKept && other === value) values.set(start, { end, value, pointer })
    else refused.push(pointer)
  })
  let written = ''
  let from = 0
  for (const [start, { end, value }] of [...values].sort(([left], [right]) => left - right)) {
    written += read.slice(from, start) + value
    from = end
  }
  return { text: written + read.slice(from), refused }
}

/** Where the present config has what `keys` lead to in the other. */
function counterpart(keys: readonly string[], value: unknown, present: unknown): string[] | undefined {
  const found: string[] = []
  let [here, there] = [value, present]
  for (const key of keys) {
    const next = at(here, [key])
    const place = Array.isArray(here) ? placeOf(next, Number(key), there) : key
    if (place === undefined) return undefined
    found.push(place)
    here = next
    there = at(there, [place])
  }
  return found
}

function placeOf(item: unknown, index: number, present: unknown): string | undefined {
  if (!Array.isArray(present)) return undefined
  const id = at(item, ['id'])
  const isIt =
    typeof id === 'string'
      ? (other: unknown) => at(other, ['id']) === id
      : (other: unknown) => isDeepStrictEqual(other, item)
  if (isIt(present[index])) return String(index)
  const places = present.flatMap((other, place) => (isIt(other) ? [String(place)] : []))
  return places.length === 1 ? places[0] : undefined
}

const at = (value: unknown, keys: readonly string[]): unknown =>
  keys.reduce<unknown>(
    (part, key) =>
      typeof part === 'object' && part !== null && Object.hasOwn(part, key)
        ? (part as Readonly<Record<string, unknown>>)[key]
        : undefined,
    value
  )

const isScalar = (value: unknown): boolean => value !== undefined && typeof value !== 'object'

/** The mask of a secret that the present config does not have there is not to be written to the file. */
export const unknownSecret = (pointer: string): Check =>
  Object.assign(
    (_: unknown, report: Report) =>
      report.error(
        pointer,
        `"${secretMask}" stands for a secret that is not here in the config that serves; write it, or a reference`
      ),
    { tolerant: true as const }
  )
