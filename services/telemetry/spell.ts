/** What one writes to when a spell begins and ends. */
export interface SpellSink {
  began(count: number, reason: string): void
  ended(count: number): void
}

/** So many quiet looks, and a spell is over. */
const quiet = 10

/**
 * Turns events that come by the thousand into two words: that they have begun, and that they are over. `note` costs an addition;
 * `look` is called now and then, always at about the same distance.
 */
export class Spell {
  readonly #sink: SpellSink
  #fresh = 0
  #total = 0
  #reason = ''
  #quiet = 0

  constructor(sink: SpellSink) {
    this.#sink = sink
  }

  note(reason: string): void {
    this.#fresh += 1
    this.#reason = reason
  }

  look(): void {
    const fresh = this.#fresh
    this.#fresh = 0
    if (fresh > 0) {
      if (this.#total === 0) this.#sink.began(fresh, this.#reason)
      this.#total += fresh
      this.#quiet = 0
    } else if (this.#total > 0) {
      this.#quiet += 1
      if (this.#quiet < quiet) return
      this.#sink.ended(this.#total)
      this.#total = 0
    }
  }
}
