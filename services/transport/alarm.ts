/** The longest a timer of Node can wait. */
const longest = 2 ** 31 - 1

/**
 * A deadline that is set anew many times a second and hardly ever met. Moving it is writing a number: the one timer behind it is left to
 * run and looks, when it rings, whether it was too early.
 */
export class Alarm {
  readonly #onDue: () => void
  #timer: NodeJS.Timeout | undefined
  /** When the timer rings, and when it is meant to; performance.now(). */
  #ringsAt = 0
  #due = Number.POSITIVE_INFINITY

  constructor(onDue: () => void) {
    this.#onDue = onDue
  }

  /** Rings once, `milliseconds` from now, unless it is set again or cleared before; 0 means never. */
  set(milliseconds: number): void {
    if (milliseconds <= 0) {
      this.clear()
      return
    }
    const now = performance.now()
    this.#due = now + milliseconds
    if (this.#timer === undefined || this.#ringsAt > this.#due) this.#run(now)
  }

  clear(): void {
    this.#due = Number.POSITIVE_INFINITY
  }

  /** Ends the timer as well: nothing rings any more. */
  stop(): void {
    this.clear()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #run(now: number): void {
    clearTimeout(this.#timer)
    this.#ringsAt = this.#due
    this.#timer = setTimeout(this.#ring, Math.min(longest, Math.ceil(this.#due - now))).unref()
  }

  readonly #ring = (): void => {
    this.#timer = undefined
    if (this.#due === Number.POSITIVE_INFINITY) return
    const now = performance.now()
    // Timers count whole milliseconds from the start of their turn, and so ring a little early at times.
    if (this.#due - now >= 1) {
      this.#run(now)
      return
    }
    this.clear()
    this.#onDue()
  }
}
