/** Counts what is under way, and tells when it is over. */
export class InFlight {
  #count = 0
  #waiting: (() => void)[] = []
  readonly #all: InFlight | undefined

  /** What is counted here counts in `all` as well. */
  constructor(all?: InFlight) {
    this.#all = all
  }

  get count(): number {
    return this.#count
  }

  readonly enter = (): void => {
    this.#count += 1
    this.#all?.enter()
  }

  readonly leave = (): void => {
    this.#count -= 1
    this.#all?.leave()
    if (this.#count > 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** Resolves when nothing is under way, or after `timeout` milliseconds. */
  idle(timeout: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeout).unref()
      this.#waiting.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}
