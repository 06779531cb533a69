import { type Rate, take, type Verdict } from './bucket.ts'

const atMost = 50_000

/**
 * Buckets of this process alone: what a limit falls back on while the store is away. Bounded: beyond 50,000 keys the one that came
 * first is forgotten, which makes it a new client again.
 */
export class LocalBuckets {
  readonly #times = new Map<string, number>()
  readonly #now: () => number

  /** `now` in milliseconds; it must never go back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  take(key: string, rate: Rate): Verdict {
    const { time, verdict } = take(this.#times.get(key), Math.round(this.#now() * 1000), rate)
    // Deleted first, so that the map's order is the order of use.
    this.#times.delete(key)
    this.#times.set(key, time)
    if (this.#times.size > atMost) this.#times.delete(this.#times.keys().next().value!)
    return verdict
  }

  clear(): void {
    this.#times.clear()
  }
}
