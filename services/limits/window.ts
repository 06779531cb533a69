import type { Grant } from './bucket.ts'

/** So many units in any window of this length, however they are spread in it. */
export interface Quota {
  readonly kind: 'quota'
  readonly units: number
  /** Microseconds. */
  readonly window: number
  /** Units of one request. */
  readonly step: number
}

/** Into how many parts a window is counted. */
export const parts = 32

/** Units used, by the number of the part of time they were used in. */
export type Used = readonly (readonly [part: number, units: number])[]

/**
 * A sliding window; it is only looked at where nothing is wanted. What was used is counted by parts of the window and forgotten a part at a time, each once all of it is older than the
 * window: so no window ever has more than the quota in it, and what was used comes back at most a part too late.
 */
export function grantOf(
  used: Used,
  now: number,
  { units, window, step }: Quota,
  wanted = 1
): Omit<Grant, 'time'> & { used: Used } {
  const { kept, sum, current, overAt } = look(used, now, window)
  if (wanted > 0 && sum + step <= units) {
    const after = spend(kept, current, step)
    const resetMs = Math.ceil((overAt(current) - now) / 1000)
    return { used: after, count: 1, remaining: units - sum - step, due: 0, resetMs }
  }
  let freed = 0
  let free = now
  for (const [part, spent] of kept) {
    freed += spent
    free = overAt(part)
    if (sum - freed + step <= units) break
  }
  const last = kept.at(-1)
  const resetMs = last === undefined ? 0 : Math.ceil((overAt(last[0]) - now) / 1000)
  return { used: kept, count: 0, remaining: Math.max(0, units - sum), due: free - now, resetMs }
}

/** Counts units that were used without being asked for. */
export function chargeTo(used: Used, now: number, { window }: Quota, units: number): Used {
  const { kept, current } = look(used, now, window)
  return spend(kept, current, units)
}

function look(used: Used, now: number, window: number) {
  const length = window / parts
  const current = Math.floor(now / length)
  const overAt = (part: number): number => (part + 1) * length + window
  // What lies ahead is from a clock that went back.
  const kept = used.filter(([part]) => overAt(part) > now && part <= current)
  return { kept, sum: kept.reduce((sum, [, spent]) => sum + spent, 0), current, overAt }
}

function spend(kept: Used, current: number, units: number): Used {
  const last = kept.at(-1)
  return last?.[0] === current
    ? [...kept.slice(0, -1), [current, last[1] + units]]
    : [...kept, [current, units]]
}

/** The part of a quota that one of `gateways` lets through alone. */
export const shareOfQuota = (quota: Quota, gateways: number): Quota => ({
  ...quota,
  units: Math.max(quota.step, Math.floor(quota.units / gateways))
})
