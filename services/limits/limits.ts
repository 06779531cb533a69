import { LimitUnavailable } from '../../errors.ts'
import type { Store } from '../store/store.ts'
import { type Rate, type Verdict, verdictOf } from './bucket.ts'
import { Leases } from './leases.ts'
import { type Changes, Limit, type LimitFigures, type Numbers, newFigures, type Source } from './limit.ts'
import { LocalCounts } from './local.ts'
import { Recent } from './recent.ts'
import type { LimitOptions } from './slice.ts'
import { Standby } from './standby.ts'
import { Turn } from './turn.ts'
import type { Quota } from './window.ts'

export interface LimitsEvents {
  /** The store stopped answering in time and limits are counted here; called once per outage. */
  onAway(cause: unknown): void
  /** The store answers again. */
  onReturn(): void
}

/** Milliseconds by which a request may have to wait for the store, once, before all do without it. A file needs no such bound. */
const patience = { redis: 20, embedded: 250 }

/** Undefined where a limit has nothing to say: the store is away, and its requests pass uncounted. */
export type Said = Verdict | undefined

/**
 * Counts requests against limits: in the store, so that all gateways on it share one count, out of leases, or here alone. While the
 * store is away each gateway lets its share through, or whatever the limit says: nobody waits for a store that is known to be away.
 */
export class Limits {
  readonly standby: Standby
  readonly #changes: Changes
  readonly #turn: Turn
  readonly #leases: Leases
  /** Of limits that are counted here alone, store or not. */
  readonly #own = new LocalCounts()
  /** What stands in for the store's while it is away. */
  readonly #standIn = new LocalCounts()
  /** Until when the store has said that a key is refused, in milliseconds of performance.now(). */
  readonly #refused = new Recent<{
    readonly until: number
    readonly remaining: number
    readonly resetAt: number
  }>()
  readonly #figures = new Map<string, LimitFigures>()

  constructor(store: Store, events: LimitsEvents, changes: Changes) {
    this.#changes = changes
    const waits = patience[store.driver]
    this.standby = new Standby(store, waits, {
      onAway: events.onAway,
      onReturn: () => {
        this.forget()
        this.#standIn.clear()
        events.onReturn()
      }
    })
    this.#turn = new Turn(store, waits, (cause) => this.standby.leave(cause))
    this.#leases = new Leases((key, numbers, wanted) => this.#turn.ask(key, { numbers, wanted }))
  }

  /** A limit of a config, with the figures that one of this id had before. */
  limit(id: string, options: LimitOptions): Limit {
    const figures = this.#figures.get(id) ?? newFigures(id)
    this.#figures.set(id, figures)
    return new Limit(id, options, figures, this.#changes)
  }

  get figures(): Iterable<LimitFigures> {
    return this.#figures.values()
  }

  /**
   * Counts one request against a rate or a quota. Where nobody has to be asked, nothing is waited for. Throws, or rejects with,
   * LimitUnavailable when the store is away and the limit is closed then.
   */
  take(limit: Limit, numbers: Numbers, key: string): Said | Promise<Said> {
    const counted = numbers.counted!
    const place = placeOf(limit.id, counted, key)
    if (limit.options.scope === 'local') return this.#note(limit, 'local', this.#own.take(place, counted))
    const known = this.#knownRefusal(place)
    if (known !== undefined) return this.#note(limit, 'store', known)
    if (this.standby.isAway) return this.#without(limit, numbers, place)
    if (numbers.leased !== undefined) return this.#lease(limit, numbers, place, numbers.leased)
    return this.#ask(limit, numbers, place, counted)
  }

  /** Counts units that a request turned out to have used beyond its cost. */
  charge(limit: Limit, numbers: Numbers, key: string, units: number): void {
    const counted = numbers.counted!
    const place = placeOf(limit.id, counted, key)
    if (limit.options.scope === 'local') this.#own.charge(place, counted, units)
    else if (this.standby.isAway) this.#standIn.charge(place, numbers.share(this.standby.gateways), units)
    // What the store does not hear of is lost with it.
    else void this.#turn.ask(place, { numbers: numbers.leased ?? counted, wanted: units, charged: true })
  }

  /** Whatever is known of the store's counts is asked for again. */
  forget(): void {
    this.#refused.clear()
    this.#leases.clear()
  }

  close(): Promise<unknown> {
    return this.standby.close()
  }

  async #ask(limit: Limit, numbers: Numbers, place: string, counted: Rate | Quota): Promise<Said> {
    const asked = performance.now()
    const told = await this.#turn.ask(place, { numbers: counted, wanted: 1 })
    if (told === undefined) return this.#without(limit, numbers, place)
    if (told.count === 0) {
      const wait = counted.kind === 'rate' ? told.due - counted.patience : told.due
      const { remaining, resetMs } = told
      this.#refused.set(place, { until: asked + wait / 1000, remaining, resetAt: asked + resetMs })
    }
    return this.#note(limit, 'store', verdictOf(told))
  }

  /** A refusal changes nothing and time alone ends it, so until then the store has nothing else to say. */
  #knownRefusal(place: string): Verdict | undefined {
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

  #lease(limit: Limit, numbers: Numbers, place: string, rate: Rate): Said | Promise<Said> {
    const verdict = this.#leases.take(place, rate)
    if (!(verdict instanceof Promise)) return this.#note(limit, 'lease', verdict)
    return verdict.then((later) =>
      later === undefined ? this.#without(limit, numbers, place) : this.#note(limit, 'lease', later)
    )
  }

  #without(limit: Limit, numbers: Numbers, place: string): Said {
    const { onStoreError } = limit.options
    if (onStoreError === 'open') {
      limit.figures.allowed.open += 1
      return undefined
    }
    if (onStoreError === 'closed') {
      limit.figures.refused.closed += 1
      throw LimitUnavailable([], { reason: 'limit_store', headers: { 'retry-after': '1' } })
    }
    return this.#note(limit, 'local', this.#standIn.take(place, numbers.share(this.standby.gateways)))
  }

  #note({ figures }: Limit, source: Source, verdict: Verdict): Verdict {
    figures[verdict.allowed ? 'allowed' : 'refused'][source] += 1
    return verdict
  }
}

/** Of another kind, another place: what one counts in is no sense to the other. */
const placeOf = (id: string, { kind }: Rate | Quota, key: string): string =>
  kind === 'rate' ? `toll:limit:${id}:${key}` : `toll:quota:${id}:${key}`
