import { LimitUnavailable } from '../../errors.ts'
import type { Services } from '../services.ts'
import type { Store } from '../store/store.ts'
import { type Rate, type Verdict, verdictOf } from './bucket.ts'
import type { LimitChanges } from './changes.ts'
import { Concurrency, type Hold, type Refused } from './concurrency/concurrency.ts'
import { KnownRefusals } from './known-refusals.ts'
import { type LeasedRate, Leases } from './leases.ts'
import { Limit, type LimitFigures, type Numbers, newFigures, type Source } from './limit.ts'
import { LocalCounts } from './local.ts'
import { type PlaceNotes, placeOf } from './place-of.ts'
import { type Place, Places } from './places.ts'
import type { LimitOptions } from './slice.ts'
import { Standby } from './standby.ts'
import { type Answer, gone } from './take.ts'
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

/** Keys of which the store is told after its absence; more would keep it from its work. */
const settledAtMost = 5000

/** Whose request it is, and the key in the store of what has to be there for it to be counted. */
export interface Behind {
  readonly key: string
  readonly gate: string
  readonly notes: PlaceNotes | undefined
}

/** Undefined where a limit has nothing to say: the store is away, and its requests pass uncounted. */
export type Said = Verdict | undefined

/**
 * Counts requests against limits: in the store, so that all gateways on it share one count, out of leases, or here alone. While the
 * store is away each gateway lets its share through, or whatever the limit says: nobody waits for a store that is known to be away.
 */
export class Limits {
  readonly standby: Standby
  readonly changes: LimitChanges
  readonly #store: Store
  readonly #turn: Turn
  readonly #leases: Leases
  /** Of limits that are counted here alone, store or not. */
  readonly #own = new LocalCounts()
  /** What stands in for the store's while it is away. */
  readonly #standIn = new LocalCounts()
  readonly #refused = new KnownRefusals()
  /** Requests under way: counted with the other gateways, and here alone. */
  readonly #together: Concurrency
  readonly #here = new Places()
  readonly #figures = new Map<string, LimitFigures>()

  constructor(store: Store, events: LimitsEvents, changes: LimitChanges) {
    this.#store = store
    this.changes = changes
    const waits = patience[store.driver]
    this.standby = new Standby(store, waits, {
      onAway: events.onAway,
      onReturn: () => {
        this.forget()
        this.#settle(this.standby.absence)
        events.onReturn()
      }
    })
    this.#turn = new Turn(store, waits, {
      onAway: (cause) => this.standby.leave(cause),
      onCaughtUp: () => this.#settle(0)
    })
    this.#together = new Concurrency({
      store,
      shareOf: () => this.standby.gateways,
      isAway: () => this.standby.isAway,
      onFailure: (cause) => this.standby.leave(cause),
      times: { patience: waits }
    })
    this.#leases = new Leases((key, numbers, wanted) => this.#turn.ask(key, { numbers, wanted }))
  }

  /** A limit of a config, with the figures that one of this id had before; they go with the last config that has it. */
  limit(id: string, options: LimitOptions, { shared }: Pick<Services, 'shared'>): Limit {
    const figures = shared(
      `limit figures ${id}`,
      () => {
        const made = newFigures(id)
        this.#figures.set(id, made)
        return made
      },
      () => void this.#figures.delete(id)
    )
    // The doors alone are not worth a word to the store every second.
    if (options.scope !== 'local' && !id.startsWith('door:')) this.standby.start()
    return new Limit(id, options, figures, this.changes)
  }

  /** Whether the store is not to be asked by whoever has an answer to wait for. */
  get #isAway(): boolean {
    return this.standby.isAway || this.#turn.isLate
  }

  get figures(): readonly LimitFigures[] {
    return [...this.#figures.values()]
  }

  /**
   * Counts one request against a rate or a quota. Where nobody has to be asked, nothing is waited for. Throws, or rejects with,
   * LimitUnavailable when the store is away and the limit is closed then. `notes` are those of whose key it may be.
   */
  take(limit: Limit, numbers: Numbers, key: string, notes?: PlaceNotes): Said | Promise<Said> {
    const counted = numbers.counted!
    const place = placeOf(limit.id, counted, key, notes)
    if (limit.options.scope === 'local') return this.#note(limit, 'local', this.#own.take(place, counted))
    const known = this.#refused.find(place)
    if (known !== undefined) return this.#note(limit, 'store', known)
    if (this.#isAway) return this.#without(limit, numbers, place)
    if (numbers.leased !== undefined) return this.#lease(limit, numbers, place, numbers.leased)
    return this.#ask(limit, numbers, place, counted)
  }

  /**
   * Counts one request as `take` does, and has the store say in the same operation whether something else is there, by its key: without it
   * nothing is counted, and the answer is `gone`. Resolves with what `then` makes of the answer; undefined where the store does not count
   * this request, and `then` is told so where that shows later.
   */
  takeBehind<Made>(
    limit: Limit,
    numbers: Numbers,
    { key, gate, notes }: Behind,
    then: (said: Said | 'gone') => Made
  ): Promise<Made> | undefined {
    const { counted } = numbers
    const isAsked = limit.options.scope === 'exact' && counted !== undefined && this.#store.isWhole
    if (!isAsked || this.#isAway) return undefined
    const place = placeOf(limit.id, counted, key, notes)
    if (this.#refused.find(place) !== undefined) return undefined
    const asked = performance.now()
    return this.#turn.ask(place, { numbers: counted, wanted: 1, gate }, (told) =>
      then(told?.count === gone ? 'gone' : told && this.#conclude(limit, counted, place, told, asked))
    )
  }

  /** Counts units that a request turned out to have used beyond its cost. */
  charge(limit: Limit, numbers: Numbers, key: string, units: number): void {
    const counted = numbers.counted!
    const place = placeOf(limit.id, counted, key)
    if (limit.options.scope === 'local') this.#own.charge(place, counted, units)
    else if (this.#isAway) this.#standIn.charge(place, numbers.share(this.standby.gateways), units, counted)
    // What the store does not hear of is lost with it.
    else void this.#turn.ask(place, { numbers: numbers.leased ?? counted, wanted: units, after: 'answer' })
  }

  /** Whatever is known of the store's counts is asked for again. */
  forget(): void {
    this.#refused.clear()
    this.#leases.clear()
  }

  /**
   * Takes a place among the requests under way, until it is released. Where nobody has to be asked, nothing is waited for. While the store
   * is away the limit's `onStoreError` decides, and a refusal by `closed` says so.
   */
  hold(limit: Limit, numbers: Numbers, key: string): Hold | Refused | Promise<Hold | Refused> {
    const { scope, onStoreError } = limit.options
    const most = numbers.options.concurrency!
    const place = `${limit.id}:${key}`
    if (scope === 'local') return this.#noteHold(limit, holdHere(this.#here.take(place, most)))
    return this.#together.take(place, most, onStoreError).then((decision) => this.#noteHold(limit, decision))
  }

  #noteHold({ figures }: Limit, decision: Hold | Refused): Hold | Refused {
    figures[decision.isHeld ? 'allowed' : 'refused'][decision.by] += 1
    return decision
  }

  /** Where one key of a limit stands, without counting; undefined while the store does not tell. */
  async look(limit: Limit, key: string): Promise<Verdict | undefined> {
    const numbers = limit.numbers()
    if (numbers.counted === undefined) return this.#lookAtHolds(limit, numbers, key)
    if (limit.options.scope === 'local')
      return this.#own.look(placeOf(limit.id, numbers.counted, key), numbers.counted)
    const counted = numbers.leased ?? numbers.counted
    const told = await this.#turn.ask(placeOf(limit.id, counted, key), { numbers: counted, wanted: 0 })
    return told && verdictOf({ ...told, count: told.remaining >= counted.step / unitOf(counted) ? 1 : 0 })
  }

  async #lookAtHolds(limit: Limit, numbers: Numbers, key: string): Promise<Verdict | undefined> {
    const place = `${limit.id}:${key}`
    const taken =
      limit.options.scope === 'local'
        ? this.#here.count(place)
        : (await this.#together.peek(place)).everywhere
    if (taken === undefined) return undefined
    const remaining = Math.max(0, numbers.options.concurrency! - taken)
    return { allowed: remaining > 0, remaining, retryAfterMs: 0, resetMs: 0, waitMs: 0 }
  }

  /** Sets back what was counted for one key, at every gateway. Rejects with StoreUnavailable. */
  async reset(limit: Limit, key: string): Promise<void> {
    const { counted } = limit.numbers()
    // What is under way is over when it is over.
    if (counted === undefined) return
    const place = placeOf(limit.id, counted, key)
    this.#own.forget(place)
    this.#standIn.forget(place)
    if (limit.options.scope === 'local') return
    await this.#store.delete(place)
    await this.changes.forget()
  }

  async close(): Promise<void> {
    await Promise.all([this.#together.close(), this.standby.close(), this.changes.close()])
  }

  /** What was let through without the store, away for so many milliseconds, is counted there, for those who asked last. */
  #settle(absence: number): void {
    // After a short absence others may have gone on with the store; after a long one all were away, and nobody owes what was a share.
    const owed = absence < 1000 ? 250_000 : 0
    let left = settledAtMost
    for (const { key, numbers, units } of this.#standIn.spent()) {
      if (left-- === 0) break
      const owing = numbers.kind === 'rate' ? { ...numbers, ahead: owed } : numbers
      void this.#turn.ask(key, { numbers: owing, wanted: units, after: 'absence' })
    }
    this.#standIn.clear()
  }

  #ask(limit: Limit, numbers: Numbers, place: string, counted: Rate | Quota): Promise<Said> {
    const asked = performance.now()
    return this.#turn.ask(place, { numbers: counted, wanted: 1 }, (told) =>
      told === undefined
        ? this.#without(limit, numbers, place)
        : this.#conclude(limit, counted, place, told, asked)
    )
  }

  #conclude(limit: Limit, counted: Rate | Quota, place: string, told: Answer, asked: number): Verdict {
    if (told.count === 0) this.#refused.note(place, counted, told, asked)
    return this.#note(limit, 'store', verdictOf(told))
  }

  #lease(limit: Limit, numbers: Numbers, place: string, rate: LeasedRate): Said | Promise<Said> {
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
    const whole = numbers.leased ?? numbers.counted!
    const share = numbers.share(this.standby.gateways)
    return this.#note(limit, 'local', this.#standIn.take(place, share, whole))
  }

  #note({ figures }: Limit, source: Source, verdict: Verdict): Verdict {
    figures[verdict.allowed ? 'allowed' : 'refused'][source] += 1
    return verdict
  }
}

const holdHere = (place: Place | undefined): Hold | Refused =>
  place === undefined
    ? { isHeld: false, by: 'local' }
    : { isHeld: true, by: 'local', release: () => place.release() }

/** What one unit is in a step. */
const unitOf = (numbers: Rate | Quota): number => (numbers.kind === 'rate' ? numbers.per : 1)
