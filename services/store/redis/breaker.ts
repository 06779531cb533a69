const failuresToOpen = 5

interface Times {
  /** Milliseconds within which the failures have to come; Infinity: in a row, however slowly. */
  readonly window: number
  /** Milliseconds without a call once it is open. */
  readonly open: number
}

/**
 * Stops asking a store that keeps failing, so that a stalled one costs its callers a timeout only a few times a second: five failures
 * within a second open it for half a second, then one call at a time is let through until one succeeds.
 */
export class Breaker {
  readonly #now: () => number
  readonly #times: Times
  #failures = 0
  #windowStart = 0
  #openUntil = 0
  #isTrying = false

  constructor(now: () => number = () => performance.now(), times: Times = { window: 1000, open: 500 }) {
    this.#now = now
    this.#times = times
  }

  /** Whether a call may be made now; whoever gets true reports `succeeded` or `failed`. */
  allows(): boolean {
    if (this.#openUntil === 0) return true
    if (this.#isTrying || this.#now() < this.#openUntil) return false
    this.#isTrying = true
    return true
  }

  succeeded(): void {
    this.#failures = 0
    this.#openUntil = 0
    this.#isTrying = false
  }

  failed(): void {
    const now = this.#now()
    if (now - this.#windowStart > this.#times.window) {
      this.#windowStart = now
      this.#failures = 0
    }
    this.#failures += 1
    if (this.#isTrying || this.#failures >= failuresToOpen) this.#openUntil = now + this.#times.open
    this.#isTrying = false
  }
}
