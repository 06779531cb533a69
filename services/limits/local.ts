import { charge, grant, type Rate, type Verdict, verdictOf } from './bucket.ts'
import { Recent } from './recent.ts'
import { chargeTo, grantOf, type Quota, type Used } from './window.ts'

/** The whole state of a bucket, or of a window; undefined before the first request. */
interface Place {
  time: number | undefined
  used: Used
  /** Units let through. */
  spent: number
  readonly numbers: Rate | Quota
}

/**
 * Buckets and windows of this process alone: for limits that ask no store, and what the others fall back on while the store is away.
 * Bounded: of more than 50,000 keys those are forgotten that were not used for longest, which makes them new clients again.
 */
export class LocalCounts {
  readonly #places = new Recent<Place>()
  readonly #now: () => number

  /** `now` in milliseconds; it must never go back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** `whole` are the numbers that these are a share of. */
  take(key: string, numbers: Rate | Quota, whole = numbers): Verdict {
    const place = this.#placeOf(key, whole)
    const now = Math.round(this.#now() * 1000)
    if (numbers.kind === 'rate') {
      const granted = grant(place.time, now, numbers)
      if (granted.count > 0) {
        place.time = granted.time
        place.spent += numbers.step / numbers.per
      }
      return verdictOf(granted)
    }
    const granted = grantOf(place.used, now, numbers)
    place.used = granted.used
    if (granted.count > 0) place.spent += numbers.step
    return verdictOf(granted)
  }

  /** Where a key stands, without counting. */
  look(key: string, numbers: Rate | Quota): Verdict {
    const { time, used } = this.#placeOf(key, numbers)
    const now = Math.round(this.#now() * 1000)
    return verdictOf(numbers.kind === 'rate' ? grant(time, now, numbers) : grantOf(used, now, numbers))
  }

  charge(key: string, numbers: Rate | Quota, units: number, whole = numbers): void {
    const place = this.#placeOf(key, whole)
    const now = Math.round(this.#now() * 1000)
    place.spent += units
    if (numbers.kind === 'rate') place.time = charge(place.time, now, numbers, units)
    else place.used = chargeTo(place.used, now, numbers, units)
  }

  forget(key: string): void {
    this.#places.delete(key)
  }

  clear(): void {
    this.#places.clear()
  }

  /** Units let through since the key was first met, of those in use. */
  *spent(): Iterable<{ readonly key: string; readonly numbers: Rate | Quota; readonly units: number }> {
    for (const [key, { numbers, spent }] of this.#places.entries()) {
      if (spent > 0) yield { key, numbers, units: Math.round(spent) }
    }
  }

  #placeOf(key: string, numbers: Rate | Quota): Place {
    let place = this.#places.get(key)
    if (place === undefined) {
      place = { time: undefined, used: [], spent: 0, numbers }
      this.#places.set(key, place)
    }
    return place
  }
}
