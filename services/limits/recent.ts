/**
 * A map of at most `atMost` entries that forgets those that were not asked for longest, half of them at a time. Two generations, so that
 * what is in use is neither moved nor deleted to keep the order of use.
 */
export class Recent<Value> {
  #recent = new Map<string, Value>()
  #older = new Map<string, Value>()
  readonly #atMost: number

  constructor(atMost = 50_000) {
    this.#atMost = atMost
  }

  get(key: string): Value | undefined {
    // Nobody has to hash a key to look for it in nothing.
    const value = this.#recent.size === 0 ? undefined : this.#recent.get(key)
    if (value !== undefined || this.#older.size === 0) return value
    const older = this.#older.get(key)
    if (older !== undefined) this.set(key, older)
    return older
  }

  set(key: string, value: Value): void {
    if (this.#recent.size >= this.#atMost / 2 && !this.#recent.has(key)) {
      this.#older = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(key, value)
  }

  delete(key: string): void {
    this.#recent.delete(key)
    this.#older.delete(key)
  }

  /** Those in use first. */
  *entries(): Iterable<[key: string, value: Value]> {
    yield* this.#recent
    for (const entry of this.#older) if (!this.#recent.has(entry[0])) yield entry
  }

  clear(): void {
    this.#recent.clear()
    this.#older.clear()
  }
}
