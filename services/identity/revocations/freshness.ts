import type { Verified } from '../tokens/verifier.ts'
import type { OnStale } from './slice.ts'

/** Milliseconds since its issue in which a token is young: whoever holds it was let in by the store just now. */
const youth = 120_000

/** Milliseconds between two looks whether an outage has begun to matter, or is over. */
const watchPause = 250

/** Whoever hears of the store. */
export interface Hearing {
  /** When it was heard of last, on the scale of performance.now(). */
  readonly heardAt: number
}

/** How well the list of revocations is known: when the store was heard of last, and what passes while that is too long ago. */
export class Freshness {
  readonly #hearing: Hearing
  readonly #maxStaleness: number
  readonly #now: () => number
  readonly #warn: (sentence: string) => void
  #watching: NodeJS.Timeout | undefined
  #staleSince: number | undefined
  #served = 0

  constructor(hearing: Hearing, maxStaleness: number, now: () => number, warn: (sentence: string) => void) {
    this.#hearing = hearing
    this.#maxStaleness = maxStaleness
    this.#now = now
    this.#warn = warn
  }

  /** How many requests passed while the list was stale. */
  get served(): number {
    return this.#served
  }

  /** Milliseconds since the store was heard of. */
  get lag(): number {
    return performance.now() - this.#hearing.heardAt
  }

  isStale(): boolean {
    return performance.now() - this.#hearing.heardAt > this.#maxStaleness
  }

  /** Whether a route lets a token pass although nobody knows whether it was revoked since the store was heard of last. */
  serves(onStale: OnStale, { claims, verifiedAt }: Verified): boolean {
    if (onStale === 'closed') return false
    if (onStale === 'degraded') {
      // Without ever having had the list nothing is known of any token.
      if (this.#hearing.heardAt === Number.NEGATIVE_INFINITY) return false
      const wasHereBefore = verifiedAt !== undefined && verifiedAt < this.#hearing.heardAt
      if (!wasHereBefore && this.#now() - claims.iat * 1000 >= youth) return false
    }
    return true
  }

  /** A request passed while the list was stale. */
  count(): void {
    this.#served += 1
  }

  /** Calls `watch` again and again until `close`. */
  keepWatch(): this {
    this.#watching = setInterval(() => this.watch(), watchPause).unref()
    return this
  }

  close(): void {
    clearInterval(this.#watching)
  }

  /** Says once when an outage begins to matter, and once when it is over. */
  watch(): void {
    const isStale = this.isStale()
    if (isStale === (this.#staleSince !== undefined)) return
    if (isStale) {
      this.#staleSince = Math.max(this.#hearing.heardAt, 0)
      this.#warn(
        `The store was not heard of for ${this.#maxStaleness} ms: what was revoked since is not known here, and routes do as their "onStale" says.`
      )
      return
    }
    const seconds = ((performance.now() - this.#staleSince!) / 1000).toFixed(1)
    this.#staleSince = undefined
    this.#warn(`The store is heard of again after ${seconds} s: the list of revocations is whole.`)
  }
}
