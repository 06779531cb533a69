/**
 * Where a key stands among all keys, from 0 to just below 100: the same at every gateway and after every restart, since it depends on
 * the two texts alone. Keys spread evenly, also when they differ in one letter only; `salt` makes each canary ask others first.
 */
export function shareOf(salt: string, key: string): number {
  return (mix(fold(fold(offset, salt), key)) / 2 ** 32) * 100
}

const offset = 0x811c9dc5

/** FNV-1a over the UTF-16 units, and one more step, so that "ab" + "c" is not "a" + "bc". */
function fold(start: number, text: string): number {
  let hash = start
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  return Math.imul(hash ^ 0xff, 0x01000193)
}

/** The last steps of MurmurHash3: without them, keys that differ at their ends only would stand side by side. */
function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
