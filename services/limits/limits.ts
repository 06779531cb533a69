import type { Store } from '../store/store.ts'
import type { Rate, Verdict } from './bucket.ts'
import { LocalBuckets } from './local-buckets.ts'
import { takeOperation } from './take.ts'

export interface LimitsEvents {
  /** The store stopped answering and limits are counted per process; called once per outage. */
  onOutage(cause: unknown): void
  /** The store answers again. */
  onRecovery(): void
}

/**
 * Counts requests against rates, in the store, so that all gateways on it share one count. While the store is away each gateway
 * counts for itself at the same rate: a limit neither opens nor refuses everybody because of an outage.
 */
export class Limits {
  readonly #events: LimitsEvents
  /** Of limits that are counted here alone, store or not. */
  readonly #own = new LocalBuckets()
  /** What stands in for the store's while it is away. */
  readonly #local = new LocalBuckets()
  #isOut = false

  constructor(events: LimitsEvents) {
    this.#events = events
  }

  /** Counts for this process alone. */
  takeLocally(key: string, rate: Rate): Verdict {
    return this.#own.take(key, rate)
  }

  async take(store: Store, key: string, rate: Rate): Promise<Verdict> {
    try {
      const verdict = await store.run(takeOperation, [`toll:limit:${key}`], [rate.per, rate.slack])
      if (this.#isOut) this.#recover()
      return verdict
    } catch (cause) {
      if (!this.#isOut) {
        this.#isOut = true
        this.#events.onOutage(cause)
      }
      return this.#local.take(key, rate)
    }
  }

  #recover(): void {
    this.#isOut = false
    this.#local.clear()
    this.#events.onRecovery()
  }
}
