/** What is different at one place of two configs. */
export interface Difference {
  /** Such as `route orders: limit.qps`. */
  readonly at: string
  readonly change: 'added' | 'removed' | 'changed' | 'order'
  /** As people read it, secrets masked. */
  readonly sentence: string
}

/** A config as it was written: to be shown, and with its secrets, which are only compared. */
export interface Written {
  readonly redacted: unknown
  readonly plain: unknown
}

/** Everything that is written otherwise in two configs, in words, by the names of routes and services; never a secret. */
export function differences(before: Written, after: Written): readonly Difference[] {
  const found: Difference[] = []
  compare([], before, after, found)
  return found
}

function compare(path: readonly string[], before: Written, after: Written, found: Difference[]): void {
  if (isSame(before.plain, after.plain)) return
  const [old, young] = [entriesOf(before), entriesOf(after)]
  if (old === undefined || young === undefined) {
    found.push(changed(path, before.redacted, after.redacted))
    return
  }
  const sizeBefore = found.length
  for (const [name, entry] of old) {
    const other = young.get(name)
    const place = [...path, name]
    if (other === undefined) found.push(difference(place, 'removed', 'removed'))
    else compare(place, entry, other, found)
  }
  for (const [name, { redacted }] of young) {
    if (old.has(name)) continue
    const value = isPlainValue(redacted) ? ` ${shown(redacted)}` : ''
    found.push(difference([...path, name], 'added', `added${value}`))
  }
  // Of a list whose items are all the same only the order is left to tell.
  if (found.length === sizeBefore && Array.isArray(before.plain)) {
    found.push({ at: nameOf(path), change: 'order', sentence: `the order of ${nameOf(path)} changed` })
  }
}

/** The parts of an object by key, of a list by id; undefined for what is compared whole. */
function entriesOf({ redacted, plain }: Written): ReadonlyMap<string, Written> | undefined {
  if (Array.isArray(plain)) {
    const ids = plain.map((item) => (item as { readonly id?: unknown } | null)?.id)
    if (!ids.every((id) => typeof id === 'string') || new Set(ids).size < ids.length) return undefined
    const list = redacted as readonly unknown[]
    return new Map(ids.map((id, index) => [id, { redacted: list[index], plain: plain[index] }]))
  }
  if (typeof plain !== 'object' || plain === null) return undefined
  const masked = redacted as Readonly<Record<string, unknown>>
  return new Map(Object.entries(plain).map(([key, value]) => [key, { redacted: masked[key], plain: value }]))
}

const difference = (path: readonly string[], change: Difference['change'], words: string): Difference => ({
  at: nameOf(path),
  change,
  sentence: `${nameOf(path)} ${words}`
})

function changed(path: readonly string[], before: unknown, after: unknown): Difference {
  return isSame(before, after)
    ? difference(path, 'changed', 'changed (secret)')
    : difference(path, 'changed', `${shown(before)} -> ${shown(after)}`)
}

/** Services and routes are named before what is in them: "route orders: limit.qps". */
function nameOf(path: readonly string[]): string {
  const [key = 'the config', name, ...rest] = path
  if (name === undefined || !named.has(key)) return path.join('.') || key
  const noun = `${key.slice(0, -1)} ${name}`
  return rest.length === 0 ? noun : `${noun}: ${rest.join('.')}`
}

const named = new Set(['routes', 'services', 'rules'])

/** Long values are cut: it is about what changed, not about reading it here. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

const isPlainValue = (value: unknown): boolean => typeof value !== 'object' || value === null

function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  if (Array.isArray(one) !== Array.isArray(other)) return false
  const [keys, others] = [Object.keys(one), Object.keys(other)]
  return (
    keys.length === others.length &&
    keys.every(
      (key) =>
        Object.hasOwn(other, key) &&
        isSame((one as Record<string, unknown>)[key], (other as Record<string, unknown>)[key])
    )
  )
}
