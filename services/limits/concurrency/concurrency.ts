import { randomBytes } from 'node:crypto'
import type { Store } from '../../store/store.ts'
import { exchange, look, storeKey } from './exchange.ts'
import {
  type DecidedBy,
  type Hold,
  type KeyHolds,
  noHolds,
  type OnStoreError,
  type Refused
} from './holds.ts'

export type { DecidedBy, Hold, OnStoreError, Refused } from './holds.ts'

/** All in milliseconds. */
export interface ConcurrencyTimes {
  /** A process that is not heard of for this long holds nothing any more. */
  readonly worth: number
  /** How often a process tells that it still holds what it holds. */
  readonly renew: number
  /** How long a request waits for the store. */
  readonly patience: number
  /** How long places given back may wait to be told of together, as long as others are free. */
  readonly gather: number
}

export interface ConcurrencyOptions {
  readonly store: Store
  /** Gateways that share the limits: at least 1. */
  readonly shareOf: () => number
  /** Whether the store is known not to answer; then nobody asks it. */
  readonly isAway: () => boolean
  /** An exchange with the store failed or was late. */
  readonly onFailure?: (cause: unknown) => void
  readonly times?: Partial<ConcurrencyTimes>
}

const defaults: ConcurrencyTimes = { worth: 6000, renew: 2000, patience: 20, gather: 5 }
const lookEveryMs = 250
const roundsOfRenewal = 6
const atLeastAtOnce = 500

/**
 * At most so many requests under way at a time for each key, over all processes on a store. Each process tells the store how many it has,
 * and that is worth something for a few seconds only: the places of a process that was killed are free again after them.
 *
 * One exchange per key is under way at a time; requests that come meanwhile share the next one. While the store is away each process
 * counts alone, up to its share of the limit, and tells of what it holds when the store is back.
 */
export class Concurrency {
  readonly #options: ConcurrencyOptions
  readonly #times: ConcurrencyTimes
  /** Tells this process from the others. */
  readonly #process = randomBytes(6).toString('base64url')
  readonly #keys = new Map<string, KeyHolds>()
  /** Keys with places given back that wait to be told of. */
  readonly #gathered = new Set<KeyHolds>()
  /** Number of the last word to the store. */
  #words = 0
  #gathering: NodeJS.Timeout | undefined
  #looking: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: ConcurrencyOptions) {
    this.#options = options
    this.#times = { ...defaults, ...options.times }
  }

  /** Keys this process has something to remember of. */
  get size(): number {
    return this.#keys.size
  }

  /** Takes one of `most` places of a key. Never rejects, and waits for the store `patience` at most (twice, behind others). */
  take(key: string, most: number, onStoreError: OnStoreError = 'local'): Promise<Hold | Refused> {
    const holds = this.#isClosed ? noHolds(key, most) : this.#holdsOf(key, most)
    if (this.#isClosed || holds.isLate || this.#options.isAway())
      return Promise.resolve(this.#decideAlone(holds, onStoreError))
    return new Promise((decide) => {
      holds.waiting.push({ onStoreError, decide })
      if (holds.underWay === 0) void this.#exchange(holds)
    })
  }

  /** How many places of a key are taken: here, and everywhere (undefined while the store is away). Takes none. */
  async peek(key: string): Promise<{ readonly here: number; readonly everywhere: number | undefined }> {
    const here = this.#keys.get(key)?.held ?? 0
    if (this.#options.isAway()) return { here, everywhere: undefined }
    try {
      return { here, everywhere: await this.#options.store.run(look, [storeKey(key)], []) }
    } catch {
      return { here, everywhere: undefined }
    }
  }

  /** Tells the store that this process holds nothing any more, as far as it answers. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#gathering)
    clearInterval(this.#looking)
    const told: Promise<unknown>[] = []
    const { store, isAway } = this.#options
    for (const { key, most } of isAway() ? [] : this.#keys.values())
      told.push(store.run(exchange, [storeKey(key)], [this.#process, 0, 0, most, 1, this.#nextWord()]))
    this.#keys.clear()
    await Promise.allSettled(told)
  }

  #holdsOf(key: string, most: number): KeyHolds {
    let holds = this.#keys.get(key)
    if (holds === undefined) {
      holds = noHolds(key, most)
      this.#keys.set(key, holds)
      this.#looking ??= setInterval(() => this.#look(), lookEveryMs).unref()
    }
    holds.most = most
    return holds
  }

  /** Tells of what is held and asks for what is waited for. Never rejects. */
  async #exchange(holds: KeyHolds): Promise<void> {
    const { store, onFailure } = this.#options
    const { worth, patience } = this.#times
    const asking = holds.waiting
    const number = this.#nextWord()
    holds.asking = asking
    holds.waiting = []
    holds.underWay = number
    holds.isChanged = false
    if (holds.held + asking.length > 0) holds.toldAt = performance.now()
    // An answer that lies in the socket because this process was busy is not late: it is read before the immediate runs.
    const late = setTimeout(() => setImmediate(() => this.#isLate(holds, number)), patience)
    try {
      const word = [this.#process, holds.held, asking.length, holds.most, worth, number]
      const { granted, taken } = await store.run(exchange, [storeKey(holds.key)], word)
      holds.isTight = taken >= holds.most
      this.#grant(holds, asking.length, granted)
    } catch (cause) {
      // What is late was told of already.
      if (!holds.isLate) onFailure?.(cause)
      this.#giveUp(holds)
      // Told again at the next look and not at once: a store that fails is not asked all the faster.
      holds.isChanged = true
      return
    } finally {
      clearTimeout(late)
      holds.underWay = 0
      holds.isLate = false
    }
    this.#goOn(holds)
  }

  #isLate(holds: KeyHolds, number: number): void {
    if (holds.underWay !== number || holds.isLate) return
    this.#options.onFailure?.(new Error('The store did not answer in time.'))
    this.#giveUp(holds)
  }

  #grant(holds: KeyHolds, asked: number, granted: number): void {
    const { asking } = holds
    holds.asking = []
    // Who asked was answered without the store meanwhile, so it counts places that nobody took.
    if (asking.length < asked && granted > 0) holds.isChanged = true
    for (const [index, { decide }] of asking.entries())
      decide(index < granted ? this.#hold(holds, 'store') : refusedBy.store)
  }

  /** Whoever waits does so no longer. */
  #giveUp(holds: KeyHolds): void {
    holds.isLate = true
    const waiting = [...holds.asking, ...holds.waiting]
    holds.asking = []
    holds.waiting = []
    for (const { decide, onStoreError } of waiting) decide(this.#decideAlone(holds, onStoreError))
  }

  #goOn(holds: KeyHolds): void {
    if (this.#isClosed) return
    if (holds.waiting.length > 0) void this.#exchange(holds)
    else if (holds.isChanged) this.#gather(holds)
    else this.#forget(holds)
  }

  #decideAlone(holds: KeyHolds, onStoreError: OnStoreError): Hold | Refused {
    if (onStoreError === 'closed') return refusedBy.closed
    const share = Math.max(1, Math.floor(holds.most / this.#options.shareOf()))
    if (onStoreError === 'local' && holds.held >= share) return refusedBy.local
    holds.isChanged = true
    return this.#hold(holds, onStoreError)
  }

  #hold(holds: KeyHolds, by: DecidedBy): Hold {
    holds.held += 1
    let isGiven = false
    return {
      isHeld: true,
      by,
      release: () => {
        if (isGiven) return
        isGiven = true
        holds.held -= 1
        holds.isChanged = true
        if (holds.underWay === 0) this.#gather(holds)
      }
    }
  }

  /** Has a change told soon: at the end of this turn where somebody may be after the place, otherwise together with those of others. */
  #gather(holds: KeyHolds): void {
    if (this.#isClosed) return
    this.#gathered.add(holds)
    if (holds.isTight) setImmediate(() => this.#tell(holds))
    else this.#gathering ??= setTimeout(() => this.#tellGathered(), this.#times.gather).unref()
  }

  #tellGathered(): void {
    this.#gathering = undefined
    for (const holds of this.#gathered) this.#tell(holds)
  }

  #tell(holds: KeyHolds): void {
    this.#gathered.delete(holds)
    // An exchange that has begun since tells it, or goes on with it.
    if (!holds.isChanged || holds.underWay !== 0 || this.#isClosed) return
    if (this.#options.isAway()) this.#forget(holds)
    else void this.#exchange(holds)
  }

  /** Several times a second: tells again what is about to be forgotten, and what could not be told while the store was away. */
  #look(): void {
    const now = performance.now()
    const { renew } = this.#times
    const isAway = this.#options.isAway()
    // Not all at once, however many there are, and yet each of them in time.
    let left = Math.max(atLeastAtOnce, Math.ceil(this.#keys.size / roundsOfRenewal))
    for (const holds of this.#keys.values()) {
      if (holds.underWay !== 0) continue
      const isDue = holds.isChanged || (holds.held > 0 && now - holds.toldAt >= renew)
      if (!isDue || isAway) this.#forget(holds)
      else if (left > 0 && !this.#gathered.has(holds)) {
        left -= 1
        void this.#exchange(holds)
      }
    }
  }

  /** Forgets a key of which nothing is held here, nor, as far as is known, counted for this process in the store. */
  #forget(holds: KeyHolds): void {
    if (holds.held > 0 || holds.underWay !== 0) return
    if (holds.isChanged && performance.now() - holds.toldAt < this.#times.worth) return
    this.#keys.delete(holds.key)
    this.#gathered.delete(holds)
    if (this.#keys.size > 0) return
    clearInterval(this.#looking)
    this.#looking = undefined
  }

  #nextWord(): number {
    this.#words += 1
    return this.#words
  }
}

const refusedBy = {
  store: { isHeld: false, by: 'store' },
  local: { isHeld: false, by: 'local' },
  closed: { isHeld: false, by: 'closed' }
} as const satisfies Record<string, Refused>
