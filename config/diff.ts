/** What is different between two configs, for the log: names of services and routes, and which other keys changed. */
export function diff(before: object, after: object): readonly string[] {
  const sentences: string[] = []
  const old: Readonly<Record<string, unknown>> = { ...before }
  const young: Readonly<Record<string, unknown>> = { ...after }
  for (const key of new Set([...Object.keys(old), ...Object.keys(young)])) {
    if (isSame(old[key], young[key])) continue
    if (key === 'services' || key === 'routes') sentences.push(...diffEntries(key, old[key], young[key]))
    else sentences.push(`${key} changed`)
  }
  return sentences
}

function diffEntries(key: string, before: unknown, after: unknown): string[] {
  const noun = key.slice(0, -1)
  const old = byName(before)
  const young = byName(after)
  const sentences: string[] = []
  for (const [name, entry] of young) {
    if (!old.has(name)) sentences.push(`${noun} "${name}" added`)
    else if (!isSame(old.get(name), entry)) sentences.push(`${noun} "${name}" changed`)
  }
  for (const name of old.keys()) if (!young.has(name)) sentences.push(`${noun} "${name}" removed`)
  return sentences.length > 0 ? sentences : [`the order of ${key} changed`]
}

/** Services have names, routes ids. */
function byName(entries: unknown): ReadonlyMap<string, unknown> {
  if (Array.isArray(entries)) {
    return new Map(entries.map((entry: { readonly id?: unknown }) => [String(entry.id), entry]))
  }
  return new Map(Object.entries(entries ?? {}))
}

/** Items that two configs have in common are mostly the same objects, which makes thousands of them cheap to compare. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, index) => isSame(item, other[index]))
  }
  return JSON.stringify(one) === JSON.stringify(other)
}
