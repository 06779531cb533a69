/** When a node is left alone for how it did. All times in milliseconds. */
export interface HealthSettings {
  /** Failures in a row before a node is left alone. */
  readonly failures: number
  /** How long the first time; twice as long each further time. 0 switches it off. */
  readonly eject: number
  readonly maxEject: number
  /** Share of the nodes that may be left alone; beyond it all are asked. 0 to 1. */
  readonly maxEjected: number
  /** Whether answers with 5xx are failures too. */
  readonly serverErrors: boolean
  readonly breaker: BreakerSettings | undefined
}

/** When a node gets nothing at all. */
export interface BreakerSettings {
  readonly window: number
  /** Failures within the window; infinite where only the share counts. */
  readonly failures: number
  /** 0 to 1; infinite where only the number counts. */
  readonly share: number
  /** Fewest requests within the window that a share is taken of. */
  readonly minimum: number
  readonly open: number
  readonly trials: number
}

/** What happened in a service since it was first configured: they only grow. */
export interface Figures {
  /** Requests sent once more. */
  retries: number
  /** Retries that were wanted, and not in the budget. */
  retriesRefused: number
  /** Times a node was left alone for its failures. */
  ejections: number
  /** Times the breaker of a node opened. */
  openings: number
  /** Requests refused because no node could be asked. */
  unserved: number
  /** Times so many nodes were out that all were asked again. */
  panics: number
  /** Names that could not be resolved. */
  resolveFailures: number
}

export const noFigures = (): Figures => ({
  retries: 0,
  retriesRefused: 0,
  ejections: 0,
  openings: 0,
  unserved: 0,
  panics: 0,
  resolveFailures: 0
})

export type Health = 'well' | 'ejected' | 'open' | 'failing'

/**
 * Whether a node is to be asked, from how its last exchanges went and what checks say. Ejection and breaker are one thing with two
 * triggers: the node is out for a while, then trial requests decide. They differ in what happens when too many are out: an ejected
 * node is asked then, one whose breaker is open is not.
 */
export class Standing {
  readonly #figures: Figures
  readonly #onChange: () => void
  /** True when the node is out for any reason: the one field that is read for each request. */
  isOut = false
  isOpen = false
  #isEjected = false
  #isFailing = false
  #until = 0
  #duration = 0
  #returnedAt = 0
  /** Trial requests under way, and how many were good. */
  #trying = 0
  #passed = 0
  #wanted = 1
  /** Failures in a row. */
  #failures = 0
  #requests = 0
  #failed = 0
  #windowEnd = 0

  constructor(figures: Figures, onChange: () => void) {
    this.#figures = figures
    this.#onChange = onChange
  }

  get health(): Health {
    if (this.isOpen) return 'open'
    if (this.#isFailing) return 'failing'
    return this.#isEjected ? 'ejected' : 'well'
  }

  /** Takes the next trial request for it, when it is time for one. */
  takeTrial(now: number): boolean {
    if (this.#isFailing || now < this.#until || this.#trying >= this.#wanted - this.#passed) return false
    this.#trying += 1
    return true
  }

  /** An exchange went well; `isTrial` when it began while the node was out. */
  succeed(isTrial: boolean): void {
    this.#requests += 1
    this.#failures = 0
    if (!isTrial) return
    this.release()
    // Whoever was asked before the breaker opened says nothing of the time since.
    if (!this.#isAway || (this.isOpen && performance.now() < this.#until)) return
    this.#passed += 1
    if (this.#passed >= this.#wanted) this.#return(performance.now())
  }

  /** An exchange failed, and the node is to blame. */
  fail(isTrial: boolean, settings: HealthSettings): void {
    const now = performance.now()
    this.#count(now, settings.breaker)
    this.#failures += 1
    if (isTrial) this.release()
    const { breaker } = settings
    // An ejected node is asked all the same when too many are out: its breaker is there for just that.
    if (breaker !== undefined && !this.isOpen && this.#isTooMuch(breaker)) {
      // The time that it was ejected for is not doubled: its breaker has one of its own.
      if (this.#isEjected) this.#duration = 0
      this.#isEjected = false
      this.isOpen = true
      this.#figures.openings += 1
      this.#wanted = breaker.trials
      this.#leave(now, settings)
    } else if (this.#isAway) {
      if (isTrial && now >= this.#until) this.#leave(now, settings)
    } else if (!isTrial && settings.eject > 0 && this.#failures >= settings.failures) {
      this.#isEjected = true
      this.#figures.ejections += 1
      this.#wanted = 1
      this.#leave(now, settings)
    }
  }

  /** A trial request told nothing: the client left, or its body was bad. */
  release(): void {
    if (this.#trying > 0) this.#trying -= 1
  }

  /** What the checks say. A check that is good again also ends an ejection. */
  noteChecks(isFailing: boolean): void {
    if (this.#isFailing === isFailing) return
    this.#isFailing = isFailing
    if (!isFailing && this.#isEjected) this.#return(performance.now())
    else this.#update()
  }

  get #isAway(): boolean {
    return this.#isEjected || this.isOpen
  }

  #leave(now: number, { eject, maxEject, breaker }: HealthSettings): void {
    const first = this.isOpen ? (breaker?.open ?? eject) : eject
    const limit = Math.max(first, maxEject)
    // Whoever stayed well for as long as it was away last time begins anew.
    const isRelapse = this.#duration > 0 && (this.isOut || now - this.#returnedAt < this.#duration)
    this.#duration = isRelapse ? Math.min(limit, this.#duration * 2) : first
    this.#until = now + this.#duration
    this.#passed = 0
    this.#update()
  }

  #return(now: number): void {
    // The end of an ejection is none of what its breaker has counted.
    if (this.isOpen) {
      this.#requests = 0
      this.#failed = 0
      this.#windowEnd = 0
    }
    this.#isEjected = false
    this.isOpen = false
    this.#returnedAt = now
    this.#failures = 0
    this.#passed = 0
    this.#update()
  }

  #update(): void {
    this.isOut = this.#isAway || this.#isFailing
    this.#onChange()
  }

  /** The window begins with a failure, so that what goes well needs no clock. */
  #count(now: number, breaker: BreakerSettings | undefined): void {
    if (breaker === undefined) return
    if (now >= this.#windowEnd) {
      this.#windowEnd = now + breaker.window
      this.#requests = 0
      this.#failed = 0
    }
    this.#requests += 1
    this.#failed += 1
  }

  #isTooMuch({ failures, share, minimum }: BreakerSettings): boolean {
    if (this.#failed >= failures) return true
    return this.#requests >= minimum && this.#failed >= share * this.#requests
  }
}
