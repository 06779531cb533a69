import { KeyRefused, type VerifyKey } from '../tokens/jwk.ts'
import type { IssuerKeys } from '../tokens/verifier.ts'
import { FetchFailed } from './fetch-document.ts'
import { KeySource, type KeySourceOptions } from './key-source.ts'

/** Milliseconds, all of them. */
export interface RemoteKeyTimes {
  readonly timeout: number
  readonly minAge: number
  readonly maxAge: number
  /** The age of keys whose issuer does not say how long they may be kept. */
  readonly usualAge: number
  /** How long keys serve that cannot be fetched again. */
  readonly staleFor: number
  /** Between two fetches that a token asks for. */
  readonly cooldown: number
  /** How long a kid that the issuer does not have is not asked for again. */
  readonly absentFor: number
  /** Before the first new try after a failure; the next ones wait twice as long each. */
  readonly retry: number
}

export const remoteKeyTimes: RemoteKeyTimes = {
  timeout: 5000,
  minAge: 60_000,
  maxAge: 86_400_000,
  usualAge: 600_000,
  staleFor: 86_400_000,
  cooldown: 30_000,
  absentFor: 300_000,
  retry: 1000
}

const maxAbsent = 256
const none: ReadonlyMap<string, VerifyKey> = new Map()

/**
 * The keys of an issuer elsewhere, fetched in the background: a request never waits for them when its key is known. Keys that
 * cannot be fetched again serve on for a day. A token with an unknown kid may ask for one fetch, at most every half minute, and
 * waits for that one.
 */
export class RemoteKeys implements IssuerKeys {
  readonly #source: KeySource
  readonly #times: RemoteKeyTimes
  readonly #warn: (sentence: string) => void
  readonly #stop = new AbortController()
  readonly #absent = new Map<string, number>()
  #keys = none
  #generation: object = {}
  #fetching: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #asked = Number.NEGATIVE_INFINITY
  #usableUntil = Number.POSITIVE_INFINITY
  #told: string | undefined

  constructor(
    options: Omit<KeySourceOptions, 'timeout'>,
    warn: (sentence: string) => void,
    times: RemoteKeyTimes = remoteKeyTimes
  ) {
    this.#source = new KeySource({ ...options, timeout: times.timeout })
    this.#times = times
    this.#warn = warn
  }

  get generation(): object {
    return this.#generation
  }

  find(kid: string): VerifyKey | undefined {
    return this.#keys.get(kid)
  }

  /** What to say of a kid that is not known: nothing yet while a fetch is under way that may bring it. */
  missing(kid: string): 'kid' | 'issuer.unavailable' | Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching
    const now = performance.now()
    const known = this.#failures > 0 ? 'issuer.unavailable' : 'kid'
    const since = this.#absent.get(kid)
    if (since !== undefined && now - since < this.#times.absentFor) return known
    if (now - this.#asked < this.#times.cooldown) return known
    this.#asked = now
    return this.refresh().then(() => {
      if (this.#failures === 0 && !this.#keys.has(kid)) this.#rememberAbsent(kid)
    })
  }

  /** Fetches the keys now, unless that is under way. Never rejects. */
  refresh(): Promise<void> {
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  close(): void {
    this.#stop.abort()
    clearTimeout(this.#timer)
  }

  async #fetch(): Promise<void> {
    clearTimeout(this.#timer)
    const { minAge, maxAge, usualAge, staleFor, retry } = this.#times
    let pause: number
    try {
      const { keys, leftOut, maxAge: seconds } = await this.#source.fetch(this.#stop.signal)
      if (this.#stop.signal.aborted) return
      pause = Math.min(Math.max(seconds === undefined ? usualAge : seconds * 1000, minAge), maxAge)
      this.#keys = keys
      this.#generation = {}
      // Whoever asked while nobody answered has not had an answer: the next may ask at once.
      if (this.#failures > 0) this.#asked = Number.NEGATIVE_INFINITY
      this.#failures = 0
      this.#usableUntil = performance.now() + pause + staleFor
      this.#tell(leftOut.length === 0 ? undefined : `not all of its keys can be used (${leftOut.join('; ')})`)
    } catch (error) {
      if (this.#stop.signal.aborted) return
      this.#failures += 1
      pause = Math.min(retry * 2 ** (this.#failures - 1), minAge)
      const isOurs = error instanceof FetchFailed || error instanceof KeyRefused
      this.#tell(`its keys cannot be fetched (${isOurs ? error.message : 'what came is not readable'})`)
      this.#expire()
    }
    this.#timer = setTimeout(() => void this.refresh(), pause).unref()
  }

  /** What was too long out of touch may have been withdrawn meanwhile. */
  #expire(): void {
    if (this.#keys.size === 0 || performance.now() < this.#usableUntil) return
    this.#keys = none
    this.#generation = {}
  }

  /** Each trouble once, not at every try. */
  #tell(trouble: string | undefined): void {
    if (trouble !== undefined && trouble !== this.#told) this.#warn(trouble)
    this.#told = trouble
  }

  #rememberAbsent(kid: string): void {
    if (this.#absent.size >= maxAbsent) this.#absent.delete(this.#absent.keys().next().value as string)
    this.#absent.set(kid, performance.now())
  }
}
