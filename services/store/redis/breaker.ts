const failuresToOpen = 5
const windowMs = 1000
const openMs = 500

/**
 * Stops asking a store that keeps failing, so that a stalled one costs its callers a timeout only a few times a second: five failures
 * within a second open it for half a second, then one call at a time is let through until one succeeds.
 */
export class Breaker {
  readonly #now: () => number
  #failures = 0
  #windowStart = 0
  #openUntil = 0
  #isTrying = false

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
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
    if (now - this.#windowStart > windowMs) {
      this.#windowStart = now
      this.#failures = 0
    }
    this.#failures += 1
    if (this.#isTrying || this.#failures >= failuresToOpen) this.#openUntil = now + openMs
    this.#isTrying = false
  }
}
