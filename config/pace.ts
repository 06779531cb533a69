import { setImmediate } from 'node:timers/promises'

/** Milliseconds that long work may go on before others get their turn. */
const turn = 4

/**
 * Does long work in short turns, so that a config of thousands of routes is read and built while requests are served. Ask `isDue`
 * after each small part of the work, and `await rest()` when it is: not each part may cost a promise.
 */
export class Pace {
  #since = performance.now()

  get isDue(): boolean {
    return performance.now() - this.#since > turn
  }

  async rest(): Promise<void> {
    await setImmediate()
    this.#since = performance.now()
  }
}
