import { charge, grant, type Rate, type Verdict, verdictOf } from './bucket.ts'
import { Recent } from './recent.ts'
import { chargeTo, grantOf, type Quota, type Used } from './window.ts'

/** The whole state of a bucket, or of a window; undefined before the first request. */
interface Place {
  time: number | undefined
  used: Used
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

  take(key: string, numbers: Rate | Quota): Verdict {
    const place = this.#placeOf(key)
    const now = Math.round(this.#now() * 1000)
    if (numbers.kind === 'rate') {
      const granted = grant(place.time, now, numbers)
      if (granted.count > 0) place.time = granted.time
      return verdictOf(granted)
    }
    const granted = grantOf(place.used, now, numbers)
    place.used = granted.used
    return verdictOf(granted)
  }

  charge(key: string, numbers: Rate | Quota, units: number): void {
    const place = this.#placeOf(key)
    const now = Math.round(this.#now() * 1000)
    if (numbers.kind === 'rate') place.time = charge(place.time, now, numbers, units)
    else place.used = chargeTo(place.used, now, numbers, units)
  }

  clear(): void {
    this.#places.clear()
  }

  #placeOf(key: string): Place {
    let place = this.#places.get(key)
    if (place === undefined) {
      place = { time: undefined, used: [] }
      this.#places.set(key, place)
    }
    return place
  }
}
