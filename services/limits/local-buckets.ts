import { type Rate, take, type Verdict } from './bucket.ts'

const atMost = 50_000

/** When its last permission was due, in microseconds; undefined before the first. */
interface Bucket {
  time: number | undefined
}

/**
 * Buckets of this process alone: for limits that ask no store, and what the others fall back on while the store is away. Bounded: of more
 * than 50,000 keys those are forgotten that were not used for longest, half of them at a time, which makes them new clients again.
 */
export class LocalBuckets {
  /** Two generations, so that a bucket in use is neither moved nor deleted to keep the order of use. */
  #recent = new Map<string, Bucket>()
  #older = new Map<string, Bucket>()
  readonly #now: () => number

  /** `now` in milliseconds; it must never go back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  take(key: string, rate: Rate): Verdict {
    const bucket = this.#recent.get(key) ?? this.#remember(key)
    const { time, verdict } = take(bucket.time, Math.round(this.#now() * 1000), rate)
    bucket.time = time
    return verdict
  }

  clear(): void {
    this.#recent.clear()
    this.#older.clear()
  }

  #remember(key: string): Bucket {
    const bucket = this.#older.get(key) ?? { time: undefined }
    if (this.#recent.size >= atMost / 2) {
      this.#older = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(key, bucket)
    return bucket
  }
}
