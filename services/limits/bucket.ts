/** A rate in the integer microseconds in which every driver counts. Where a request costs more than one unit, `step` is larger than `per`. */
export interface Rate {
  readonly kind: 'rate'
  /** Microseconds between two units. */
  readonly per: number
  /** What a whole bucket holds: this much time's worth of units may be used at once. */
  readonly full: number
  /** What one request uses. */
  readonly step: number
  /** How far ahead of its time a request is let through: whoever sends it waits meanwhile. 0 refuses it instead. */
  readonly patience: number
  /** How far ahead of the clock a bucket may be; what is further is from a clock that went back. */
  readonly ahead: number
}

/** What a limit says about one request. */
export interface Verdict {
  readonly allowed: boolean
  /** Units that would be let through right now. */
  readonly remaining: number
  /** Milliseconds until one is let through again; 0 when this one was. */
  readonly retryAfterMs: number
  /** Milliseconds without requests until everything is there again. */
  readonly resetMs: number
  /** Milliseconds for which this one has to be held back although it is let through. */
  readonly waitMs: number
}

export interface RateNumbers {
  readonly qps: number
  readonly slack: number
  readonly cost?: number
  /** Microseconds. */
  readonly patience?: number
  /** Microseconds for which a bucket may be in debt: what an answer cost can be more than there was. */
  readonly debt?: number
}

const second = 1_000_000

export function rateOf({ qps, slack, cost = 1, patience = 0, debt = 0 }: RateNumbers): Rate {
  const per = Math.round(1_000_000 / qps)
  const full = (slack + 1) * per
  return { kind: 'rate', per, full, step: per * cost, patience, ahead: Math.max(second, patience, debt) }
}

/** The part of a rate that one of `gateways` lets through alone, so that together they let through the whole. */
export function shareOfRate(rate: Rate, gateways: number): Rate {
  if (gateways <= 1) return rate
  const per = rate.per * gateways
  const step = rate.step * gateways
  const units = Math.floor(rate.full / rate.per / gateways)
  return { ...rate, per, step, full: Math.max(step, units * per) }
}

/** What was granted, and what the bucket is then. `time` is when the last unit was due, the bucket's whole state; in microseconds. */
export interface Grant {
  readonly time: number
  /** Requests; 0 when none is let through. */
  readonly count: number
  /** Units left. */
  readonly remaining: number
  /** Microseconds until the first one granted is due, negative when it was before; or until one would be granted. */
  readonly due: number
  /** Milliseconds until the bucket is whole again. */
  readonly resetMs: number
}

/**
 * A leaky bucket with slack, in other words a token bucket of slack + 1: units are due `per` apart, and after a pause as many as the
 * bucket holds may be overdue. A bucket nobody has used is one that has been idle for ever, so a new client may use all of it at once.
 *
 * A refusal leaves the state alone: knocking on does not push the next permission away.
 */
export function grant(time: number | undefined, now: number, rate: Rate, wanted = 1): Grant {
  const { per, full, step, patience } = rate
  const start = startOf(time, now, rate)
  const count = Math.min(wanted, Math.floor((now + patience - start) / step))
  if (count < 1) return { time: start, count: 0, ...left(start, now, per, full), due: start + step - now }
  const end = start + count * step
  return { time: end, count, ...left(end, now, per, full), due: start + step - now }
}

/** Takes units whether they are there or not; the bucket is in debt then, as far as its rate allows. */
export function charge(time: number | undefined, now: number, rate: Rate, units: number): number {
  return Math.min(startOf(time, now, rate) + units * rate.per, now + rate.ahead)
}

/**
 * Counts units that were let through without the bucket while nobody could ask it. What fell due meanwhile pays for them; only what they
 * were too many is owed, as far as the rate allows. A bucket that is forgotten had all that time to fill.
 */
export function settle(time: number | undefined, now: number, rate: Rate, units: number): number {
  return time === undefined
    ? Math.min(now, now - rate.full + units * rate.per)
    : Math.min(time + units * rate.per, now + rate.ahead)
}

export function verdictOf({ count, remaining, due, resetMs }: Omit<Grant, 'time'>): Verdict {
  const ms = Math.max(0, Math.ceil(due / 1000))
  return count > 0
    ? { allowed: true, remaining, retryAfterMs: 0, resetMs, waitMs: ms }
    : { allowed: false, remaining, retryAfterMs: ms, resetMs, waitMs: 0 }
}

/** Milliseconds after which a bucket in this state is the same as one nobody has used. */
export const lifeOf = (time: number, now: number, { full }: Rate): number =>
  Math.ceil((time + full - now) / 1000) + 1

function startOf(time: number | undefined, now: number, { full, step, ahead }: Rate): number {
  if (time === undefined || now - time > full) return now - full
  // The clock went back (a failover to a server with another one): start from it, rather than refuse until it has caught up.
  return time > now + ahead ? now - step : time
}

const left = (time: number, now: number, per: number, full: number) => ({
  remaining: Math.max(0, Math.floor((now - time) / per)),
  resetMs: Math.ceil((time + full - now) / 1000)
})
