import { keysOf, pointerOf } from './pointer.ts'

/** A config without the list items in which something is wrong, and the way back to where the others stood. */
export function soundPart(
  config: unknown,
  pointers: readonly string[]
): { readonly config: unknown; original(pointer: string): string } {
  const broken = new Set(pointers.map((pointer) => pointerOf(...keysOf(pointer).slice(0, 2))))
  const places = new Map<string, readonly number[]>()
  if (typeof config !== 'object' || config === null) return { config, original: (pointer) => pointer }
  const sound: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(config)) {
    sound[key] = value
    if (!Array.isArray(value)) continue
    const kept = [...value.keys()].filter((index) => !broken.has(pointerOf(key, index)))
    places.set(
      key,
      kept.map((index) => index)
    )
    sound[key] = kept.map((index) => value[index] as unknown)
  }
  return {
    config: sound,
    original: (pointer) => {
      const [key = '', index, ...rest] = keysOf(pointer)
      const place = index === undefined ? undefined : places.get(key)?.[Number(index)]
      return place === undefined ? pointer : pointerOf(key, place, ...rest)
    }
  }
}
