import { createHash } from 'node:crypto'
import type { Pace } from './pace.ts'

/** Short hash of a content: that of its JSON with sorted keys, so that the order in which keys are written makes no new revision. */
export async function revisionOf(value: unknown, pace: Pace): Promise<string> {
  const hash = createHash('sha256')
  for (const text of canonical(value, 0)) {
    hash.update(text)
    if (pace.isDue) await pace.rest()
  }
  return hash.digest('hex').slice(0, 12)
}

/** In pieces: one for each item or entry of what stands at the top. */
function* canonical(value: unknown, depth: number): Iterable<string> {
  if (typeof value !== 'object' || value === null || depth === 2) {
    yield textOf(value)
    return
  }
  const isList = Array.isArray(value)
  yield isList ? '[' : '{'
  let comma = ''
  for (const key of isList ? value.keys() : keysOf(value)) {
    yield isList ? comma : `${comma}${JSON.stringify(key)}:`
    yield* canonical((value as Record<string | number, unknown>)[key], depth + 1)
    comma = ','
  }
  yield isList ? ']' : '}'
}

function textOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(textOf).join(',')}]`
  let text = ''
  for (const key of keysOf(value)) {
    const entry = textOf((value as Record<string, unknown>)[key])
    text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${entry}`
  }
  return `{${text}}`
}

/** What JSON would leave out is left out. */
const keysOf = (value: object): readonly string[] =>
  Object.keys(value)
    .filter((key) => (value as Record<string, unknown>)[key] !== undefined)
    .sort()
