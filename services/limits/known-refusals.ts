import type { Rate, Verdict } from './bucket.ts'
import { Recent } from './recent.ts'
import type { Answer } from './take.ts'
import type { Quota } from './window.ts'

/** Refusals of the store that hold for a while: a refusal changes nothing and time alone ends it, so until then it has nothing else to say. */
export class KnownRefusals {
  /** Times in milliseconds of performance.now(). */
  readonly #refused = new Recent<{
    readonly until: number
    readonly remaining: number
    readonly resetAt: number
  }>()

  /** Notes what the store refused to a question asked at `asked`. */
  note(place: string, counted: Rate | Quota, { due, remaining, resetMs }: Answer, asked: number): void {
    const wait = counted.kind === 'rate' ? due - counted.patience : due
    this.#refused.set(place, { until: asked + wait / 1000, remaining, resetAt: asked + resetMs })
  }

  find(place: string): Verdict | undefined {
    const known = this.#refused.get(place)
    if (known === undefined) return undefined
    const now = performance.now()
    if (known.until <= now) return undefined
    return {
      allowed: false,
      remaining: known.remaining,
      retryAfterMs: Math.ceil(known.until - now),
      resetMs: Math.max(0, Math.ceil(known.resetAt - now)),
      waitMs: 0
    }
  }

  clear(): void {
    this.#refused.clear()
  }
}
