import { Overloaded, RequestTimeout } from '../../../errors.ts'

interface Waiting {
  readonly isGone: (() => boolean) | undefined
  readonly start: () => void
  readonly refuse: (reason: unknown) => void
}

/** Lets a bounded number of jobs run at a time and a bounded number wait. Who has left does not keep a place. */
export class Line {
  readonly #maxRunning: number
  readonly #maxWaiting: number
  readonly #reason: string
  #running = 0
  #waiting: Waiting[] = []

  /** `reason` is what the log says of those who found the line full. */
  constructor(maxRunning: number, maxWaiting: number, reason: string) {
    this.#maxRunning = maxRunning
    this.#maxWaiting = maxWaiting
    this.#reason = reason
  }

  /** Whether a job would start at once. */
  get isFree(): boolean {
    return this.#running < this.#maxRunning
  }

  /** Runs a job when its turn comes; rejects with 503 when the line is full. `isGone`: nobody waits for the result any more. */
  async run<Result>(job: () => Promise<Result>, isGone?: () => boolean): Promise<Result> {
    if (isGone?.() === true) throw left()
    await this.#enter(isGone)
    try {
      return await job()
    } finally {
      this.#leave()
    }
  }

  #enter(isGone: (() => boolean) | undefined): void | Promise<void> {
    if (this.isFree) {
      this.#running += 1
      return
    }
    if (this.#waiting.length >= this.#maxWaiting) this.#dropGone()
    if (this.#waiting.length >= this.#maxWaiting) {
      throw Overloaded([], { reason: this.#reason, headers: { 'retry-after': '1' } })
    }
    return new Promise((start, refuse) => this.#waiting.push({ isGone, start, refuse }))
  }

  #leave(): void {
    let next = this.#waiting.shift()
    while (next?.isGone?.() === true) {
      next.refuse(left())
      next = this.#waiting.shift()
    }
    if (next === undefined) this.#running -= 1
    else next.start()
  }

  #dropGone(): void {
    const [gone, waiting] = [[] as Waiting[], [] as Waiting[]]
    for (const one of this.#waiting) (one.isGone?.() === true ? gone : waiting).push(one)
    this.#waiting = waiting
    for (const { refuse } of gone) refuse(left())
  }
}

/** Nobody reads it; the log does. */
const left = () => RequestTimeout([], { reason: 'client_left' })
