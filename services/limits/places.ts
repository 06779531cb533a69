/** A place that somebody holds. */
export interface Place {
  /** Gives it back; a second time does nothing. */
  release(): void
}

/** Counts what lasts, such as open WebSockets, by who holds it. What is not held is not kept. */
export class Places {
  readonly #taken = new Map<string, number>()

  /** How many this holder has. */
  count(holder: string): number {
    return this.#taken.get(holder) ?? 0
  }

  /** One more for this holder; undefined when `most` are taken. */
  take(holder: string, most: number): Place | undefined {
    const taken = this.count(holder)
    if (taken >= most) return undefined
    this.#taken.set(holder, taken + 1)
    let isHeld = true
    return {
      release: () => {
        if (!isHeld) return
        isHeld = false
        const left = this.count(holder) - 1
        if (left > 0) this.#taken.set(holder, left)
        else this.#taken.delete(holder)
      }
    }
  }
}
