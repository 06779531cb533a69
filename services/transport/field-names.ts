import { flat } from '../flat.ts'

/** How many names are kept, and of how many characters at most: services may send any. */
const places = 4096
const longest = 64

/**
 * Names of fields that were met, each in a place that its bytes say. Services use few, and where a name is looked up the same text is
 * found much faster than one that only reads the same. Who comes first to a place keeps it.
 */
const names = new Array<string | undefined>(places).fill(undefined)

/** The name of `length` bytes at `at`, as it is spelled there; `text` has the same as latin1, from `from` on. */
export function nameAt(input: Buffer, at: number, length: number, text: string, from: number): string {
  const place = placeOf(input, at, length)
  const known = names[place]
  if (known !== undefined && isSame(known, input, at, length)) return known
  const name = text.slice(from, from + length)
  if (known !== undefined || length > longest) return name
  // A part of a head would keep all of it.
  const own = flat(name)
  names[place] = own
  return own
}

/** Of four things that most names differ in. */
const placeOf = (input: Buffer, at: number, length: number): number =>
  (input[at]! * 961 + input[at + length - 1]! * 31 + input[at + (length >> 1)]! * 127 + length) % places

function isSame(name: string, input: Buffer, at: number, length: number): boolean {
  if (name.length !== length) return false
  for (let index = 0; index < length; index += 1) {
    if (input[at + index] !== name.charCodeAt(index)) return false
  }
  return true
}
