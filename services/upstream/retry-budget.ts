/**
 * Bounds how many requests are sent once more: a share of those that came lately, and a few a second besides. When a whole service fails,
 * retries would only add to its load.
 */
export class RetryBudget {
  readonly #share: number
  readonly #perSecond: number
  /** Retries that requests have paid for. */
  #saved = 0
  #spare: number
  #sparedAt = 0

  constructor(share: number, perSecond: number) {
    this.#share = share
    this.#perSecond = perSecond
    this.#spare = perSecond
  }

  /** A request came. */
  deposit(): void {
    if (this.#saved < most) this.#saved += this.#share
  }

  /** Takes one retry out, if there is one. What was answered is repeated from the share alone, so that it stays a share. */
  take(isAnswered: boolean): boolean {
    if (this.#saved >= 1) {
      this.#saved -= 1
      return true
    }
    if (isAnswered) return false
    const now = performance.now()
    this.#spare = Math.min(this.#perSecond, this.#spare + ((now - this.#sparedAt) / 1000) * this.#perSecond)
    this.#sparedAt = now
    if (this.#spare < 1) return false
    this.#spare -= 1
    return true
  }
}

/** Most that can be saved up: what a quiet time leaves must not make a storm later. */
const most = 100
