import type { InFlight } from './in-flight.ts'

/** Longest wait for the requests of what was replaced before it is closed under them. */
const patience = 10 * 60_000

interface Replaced {
  readonly inFlight: InFlight
  close(): Promise<void>
}

/** What was replaced and still has requests under way: each is closed once they are through, with what only it held. */
export class Retired<One extends Replaced> {
  readonly #all = new Set<One>()

  add(one: One, onFlaw: (error: unknown) => void): void {
    this.#all.add(one)
    one.inFlight
      .idle(patience)
      .then(() => one.close())
      .catch(onFlaw)
      .finally(() => this.#all.delete(one))
  }

  [Symbol.iterator](): Iterator<One> {
    return this.#all.values()
  }
}
