const atMost = 20_000

interface Window {
  count: number
  readonly endsAt: number
}

/**
 * Counts attempts in fixed windows, in this process. It outlives a reload, so that changing the config does not give whoever is
 * guessing passwords a fresh start. Bounded: beyond 20,000 keys the oldest window is forgotten.
 */
export class Attempts {
  readonly #windows = new Map<string, Window>()
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Counts one more; `ttl` is what is left of the window, in milliseconds. */
  add(key: string, windowMs: number): { current: number; ttl: number } {
    const now = this.#now()
    let window = this.#windows.get(key)
    if (window === undefined || window.endsAt <= now) {
      window = { count: 0, endsAt: now + windowMs }
      this.#windows.delete(key)
      this.#windows.set(key, window)
      if (this.#windows.size > atMost) this.#windows.delete(this.#windows.keys().next().value!)
    }
    window.count += 1
    return { current: window.count, ttl: Math.max(1, Math.ceil(window.endsAt - now)) }
  }
}
