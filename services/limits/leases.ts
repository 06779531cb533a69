import type { Rate, Verdict } from './bucket.ts'
import { Recent } from './recent.ts'
import type { Told } from './turn.ts'

/** Microseconds: how far ahead of the clock a stretch of the schedule may reach, where the bucket has as much slack to spare. */
const horizon = 50_000
/** The part of a bucket that is held back for what gateways have in stock, and the most of it in microseconds; never less than the horizon. */
const heldBack = { part: 1 / 8, most: 1_000_000 }
/** Requests in one lease at most. */
const most = 10_000
/** Milliseconds in which what runs low is gathered before it is asked for: of many keys a question costs little more than of one. */
const gathering = 5
/** Rounds after which a request that still finds nothing is refused. */
const rounds = 3

/** A rate as the store counts it for leases. */
export interface LeasedRate extends Rate {
  /** Microseconds after it is due until when a unit may be used: what the bucket holds, and what is held back of it. */
  readonly life: number
}

/** The same rate for leases: what gateways may hold on to is taken off what the bucket holds. */
export function leasedRate(rate: Rate): LeasedRate {
  const wanted = Math.max(horizon, Math.min(heldBack.most, Math.floor(rate.full * heldBack.part)))
  // Of a slow rate with a small bucket there is nothing to take in stock.
  const back = rate.step >= wanted ? 0 : Math.min(wanted, Math.max(0, rate.full - rate.step))
  const patience = Math.min(horizon, back)
  const { kind, per, step, full, ahead } = rate
  // Not spread, for the sake of its shape; see freezeVerified.
  return { kind, per, full: full - back, step, patience, ahead: Math.max(patience, ahead), life: full }
}

/** Units in stock that are due one after the other. Times in microseconds of this process's clock. */
interface Stretch {
  /** When the next one is due. */
  due: number
  count: number
  /** By how much that may be too late: what the store's answer took. */
  lag: number
}

/**
 * What one gateway has in stock of one bucket. A lease is itself the stretch that is used next: with thousands of them each further object to
 * look into is in no cache.
 */
interface Lease extends Stretch {
  /** The stretches behind it, in the order in which they are due; undefined without any. */
  later: Stretch[] | undefined
  /** What the store gave last. */
  granted: number
  /** Units that it had left then. */
  beyond: number
  resetAt: number
  /** Nothing is granted before. */
  emptyUntil: number
  asking: Promise<boolean> | undefined
  /** Whether it is among those that run low. */
  isNoted: boolean
  /** Requests in this part of time, and in the one before. */
  demand: number
  before: number
  part: number
}

/** What somebody took from that has little left. */
interface Low {
  readonly key: string
  readonly lease: Lease
  readonly rate: LeasedRate
}

/** Asks the store for a number of requests. */
export type Ask = (key: string, rate: LeasedRate, wanted: number) => Promise<Told>

/**
 * Requests taken from the store in stock, so that most of them ask nobody. A lease is a stretch of the bucket's own schedule: units that
 * are due at moments which are nobody else's. So all gateways together never use more than the bucket lets out; what a gateway takes and
 * does not use is lost, which is why it takes no more than it used in as much time as may be held back.
 */
export class Leases {
  readonly #leases = new Recent<Lease>()
  readonly #ask: Ask
  readonly #now: () => number
  readonly #later: (act: () => void) => void
  #low: Low[] = []

  /** `now` in milliseconds; it must never go back. `later` does something in a few milliseconds. */
  constructor(
    ask: Ask,
    now: () => number = () => performance.now(),
    later: (act: () => void) => void = (act) => void setTimeout(act, gathering).unref()
  ) {
    this.#ask = ask
    this.#now = now
    this.#later = later
  }

  /** Undefined when the store has to be asked and does not tell. `rate` is what `leasedRate` made. */
  take(key: string, rate: LeasedRate): Verdict | Promise<Verdict | undefined> {
    const lease = this.#leases.get(key) ?? this.#begin(key)
    const now = this.#now() * 1000
    count(lease, rate, now)
    const verdict = fromStock(lease, rate, now)
    if (verdict === undefined) return this.#wait(key, lease, rate)
    if (verdict.allowed && !lease.isNoted && mayRefill(lease, now)) this.#note({ key, lease, rate })
    return verdict
  }

  clear(): void {
    this.#leases.clear()
    this.#low = []
  }

  /** Early enough for nobody to have to wait, so it can wait for others. */
  #note(low: Low): void {
    low.lease.isNoted = true
    if (this.#low.push(low) === 1) this.#later(this.#refillLow)
  }

  readonly #refillLow = (): void => {
    const all = this.#low
    this.#low = []
    const now = this.#now() * 1000
    for (const { key, lease, rate } of all) {
      lease.isNoted = false
      // Somebody may have waited for it meanwhile.
      if (mayRefill(lease, now)) void this.#refill(key, lease, rate)
    }
  }

  async #wait(key: string, lease: Lease, rate: LeasedRate): Promise<Verdict | undefined> {
    for (let round = 0; round < rounds; round += 1) {
      if (!(await this.#refill(key, lease, rate))) return undefined
      const verdict = fromStock(lease, rate, this.#now() * 1000)
      if (verdict !== undefined) return verdict
    }
    const now = this.#now() * 1000
    return refusal(lease, Math.max(1, lease.count > 0 ? lease.due - now : 0), now)
  }

  /** One question at a time for each key, whoever wants to know; false when the store does not tell. */
  #refill(key: string, lease: Lease, rate: LeasedRate): Promise<boolean> {
    lease.asking ??= this.#fetch(key, lease, rate).finally(() => {
      lease.asking = undefined
    })
    return lease.asking
  }

  async #fetch(key: string, lease: Lease, rate: LeasedRate): Promise<boolean> {
    const asked = this.#now() * 1000
    const told = await this.#ask(key, rate, Math.max(1, wantedBy(lease) - countIn(lease)))
    if (told === undefined) return false
    lease.beyond = told.remaining
    lease.resetAt = asked + told.resetMs * 1000
    // A unit is used no earlier than it is due by the store's clock, which stood between the question and now when it answered.
    const now = this.#now() * 1000
    if (told.count > 0) {
      const stretch = { due: now + told.due, count: told.count, lag: now - asked }
      if (lease.count === 0 && lease.later === undefined) use(lease, stretch)
      else {
        lease.later ??= []
        lease.later.push(stretch)
      }
      lease.granted = told.count
    } else lease.emptyUntil = asked + told.due - rate.patience
    return true
  }

  #begin(key: string): Lease {
    const lease: Lease = {
      due: 0,
      count: 0,
      lag: 0,
      later: undefined,
      granted: 0,
      beyond: 0,
      resetAt: 0,
      emptyUntil: 0,
      asking: undefined,
      isNoted: false,
      demand: 0,
      before: 0,
      part: 0
    }
    this.#leases.set(key, lease)
    return lease
  }
}

/** Undefined when the stock cannot tell. `now` in microseconds. */
function fromStock(lease: Lease, rate: LeasedRate, now: number): Verdict | undefined {
  const hasNext = findNext(lease, rate, now)
  if (hasNext && lease.due <= now) {
    lease.count -= 1
    lease.due += rate.step
    return {
      allowed: true,
      remaining: Math.max(0, lease.beyond) + dueIn(lease, rate, now),
      retryAfterMs: 0,
      resetMs: Math.max(0, Math.ceil((lease.resetAt - now) / 1000)),
      waitMs: 0
    }
  }
  const until = hasNext ? lease.due : lease.emptyUntil
  return until > now ? refusal(lease, until - now, now) : undefined
}

/** Counts a request to what is used in this part of time. */
function count(lease: Lease, { life, full }: LeasedRate, now: number): void {
  const part = Math.floor(now / Math.max(horizon, life - full))
  if (part !== lease.part) {
    lease.before = part === lease.part + 1 ? lease.demand : 0
    lease.demand = 0
    lease.part = part
  }
  lease.demand += 1
}

const wantedBy = ({ demand, before }: Lease): number => Math.min(most, Math.max(1, demand, before))

/** Half of a lease is used; or half of what is wanted, where the store had more than that. */
const isLow = (lease: Lease): boolean => countIn(lease) * 2 < Math.min(wantedBy(lease), lease.granted)

const mayRefill = (lease: Lease, now: number): boolean =>
  lease.asking === undefined && now >= lease.emptyUntil && isLow(lease)

function countIn({ count, later }: Lease): number {
  if (later === undefined) return count
  let sum = count
  for (const { count } of later) sum += count
  return sum
}

/** Makes a stretch the one that is used next. */
function use(lease: Lease, { due, count, lag }: Stretch): void {
  lease.due = due
  lease.count = count
  lease.lag = lag
}

/** Whether there is something to use; what is used up is dropped, and what would no longer be there in a bucket that nobody has leases of. */
function findNext(lease: Lease, { step, life }: LeasedRate, now: number): boolean {
  for (;;) {
    const late = now + lease.lag - lease.due - life
    if (late > 0) {
      const lost = Math.min(lease.count, Math.ceil(late / step))
      lease.count -= lost
      lease.due += lost * step
    }
    if (lease.count > 0) return true
    const next = lease.later?.shift()
    if (next === undefined) return false
    use(lease, next)
    if (lease.later!.length === 0) lease.later = undefined
  }
}

/** Units of the stretch in use that are due already. */
function dueIn({ due, count }: Lease, { step, per }: Rate, now: number): number {
  if (count === 0 || due > now) return 0
  return Math.min(count, Math.floor((now - due) / step) + 1) * Math.round(step / per)
}

const refusal = ({ beyond, resetAt }: Lease, wait: number, now: number): Verdict => ({
  allowed: false,
  remaining: Math.max(0, beyond),
  retryAfterMs: Math.ceil(wait / 1000),
  resetMs: Math.max(0, Math.ceil((resetAt - now) / 1000)),
  waitMs: 0
})
