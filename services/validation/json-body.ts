import { readValue } from '../identity/tokens/strict-json.ts'

/** Deepest nesting of a body. */
export const maxDepth = 64

/** Digits enough that the number might be more than JavaScript can hold. */
const long = /[eE]\+?\d{3}|\d{300}/

/** Reads a body as any other reader would; undefined for one that two readers might read in two ways. */
export function readBody(bytes: Buffer): unknown {
  const value = readValue(bytes, maxDepth)
  return value !== undefined && long.test(bytes.toString('latin1')) && !isBounded(value) ? undefined : value
}

function isBounded(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return true
  return Object.values(value).every(isBounded)
}
