/** Milliseconds on a clock that all processes of the machine share. */
export const clock = (): number => Number(process.hrtime.bigint()) / 1e6

/** A steady flow of requests, to the gateways in turn. */
export interface Stream {
  readonly path: string
  /** Requests a second, over all gateways. */
  readonly rate: number
}

export interface Work {
  readonly origins: readonly string[]
  readonly streams: readonly Stream[]
  /** What no answer may have in it. */
  readonly forbidden: readonly string[]
}

/** What became of one request. */
export interface Sample {
  /** Index of its stream, and of the gateway that was asked. */
  readonly stream: number
  readonly gateway: number
  /** When it was sent, on `clock`. */
  readonly sent: number
  /** Milliseconds until the whole answer was there. */
  readonly took: number
  /** 0: none came within five seconds, or the connection broke. */
  readonly status: number
  /** False: as many connections were open as may be, and it was not sent at all; the status is 0 as well. */
  readonly wasSent: boolean
  readonly retryAfter: string | undefined
  /** What the answer had in it and may not. */
  readonly leak: string | undefined
}

export interface Span {
  readonly from: number
  readonly to: number
}

/** Those that were sent within a span of time. */
export const within = (samples: readonly Sample[], { from, to }: Span): Sample[] =>
  samples.filter(({ sent }) => sent >= from && sent < to)

export const accepted = (samples: readonly Sample[]): Sample[] =>
  samples.filter(({ status }) => status === 200)

/** Milliseconds that so many of a hundred requests took at most. */
export function percentile(samples: readonly Sample[], percent: number): number {
  const times = samples.map(({ took }) => took).sort((a, b) => a - b)
  return times[Math.min(times.length - 1, Math.floor((times.length * percent) / 100))] ?? Number.NaN
}

/** How many a limit would let through of requests that came exactly when these were sent: what a machine that stumbles is excused for. */
export function due(samples: readonly Sample[], qps: number, slack: number): number {
  const per = 1000 / qps
  let time = Number.NEGATIVE_INFINITY
  let count = 0
  for (const { sent } of [...samples].sort((a, b) => a.sent - b.sent)) {
    const next = Math.max(time + per, sent - slack * per)
    if (next > sent) continue
    time = next
    count += 1
  }
  return count
}

/**
 * The most that were certainly let through within some span of `ms`: of those which were both sent and answered in it, whenever between
 * the two they were counted.
 */
export function mostWithin(samples: readonly Sample[], ms: number): number {
  const passed = accepted(samples)
  const ends = passed.map(({ sent, took }) => sent + took)
  let most = 0
  for (const { sent: from } of passed) {
    const inside = passed.filter(({ sent }, index) => sent >= from && ends[index]! <= from + ms)
    most = Math.max(most, inside.length)
  }
  return most
}
