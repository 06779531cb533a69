/** A rate, in the integer microseconds in which every driver counts. */
export interface Rate {
  /** Microseconds between two requests. */
  readonly per: number
  /** Requests that may come early. */
  readonly slack: number
}

/** What a limit says about one request. */
export interface Verdict {
  readonly allowed: boolean
  /** Requests that would be let through right now. */
  readonly remaining: number
  /** Milliseconds until one is let through again; 0 when this one was. */
  readonly retryAfterMs: number
  /** Milliseconds without requests until the whole slack is there again. */
  readonly resetMs: number
}

export const rateOf = ({ qps, slack }: { qps: number; slack: number }): Rate => ({
  per: Math.round(1_000_000 / qps),
  slack
})

/** `time` is when the last permission was due, the bucket's whole state; `now` and `time` in microseconds. */
export interface Step {
  readonly time: number
  readonly verdict: Verdict
}

/**
 * A leaky bucket with slack: permissions are due `per` apart, and after a pause up to `slack` of them may be overdue. A bucket nobody
 * has used is one that has been idle for ever, so a new client gets slack + 1 requests at once.
 *
 * A refusal leaves the state alone: knocking on does not push the next permission away.
 */
export function take(time: number | undefined, now: number, { per, slack }: Rate): Step {
  const full = (slack + 1) * per
  const next = nextPermission(time, now, per, full)
  const isAllowed = next <= now
  const state = isAllowed ? next : time!
  return {
    time: state,
    verdict: {
      allowed: isAllowed,
      remaining: isAllowed ? Math.floor((now - next) / per) : 0,
      retryAfterMs: isAllowed ? 0 : Math.ceil((next - now) / 1000),
      resetMs: Math.ceil((state + full - now) / 1000)
    }
  }
}

/** Milliseconds after which a bucket in this state is the same as one nobody has used. */
export const lifeOf = (time: number, now: number, { per, slack }: Rate): number =>
  Math.ceil((time + (slack + 1) * per - now) / 1000) + 1

function nextPermission(time: number | undefined, now: number, per: number, full: number): number {
  if (time === undefined || now - time > full) return now - full + per
  // The clock went back (a failover to a server with another one): start from it, rather than refuse until it has caught up.
  if (time > now) return now
  return time + per
}
