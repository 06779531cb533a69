import { setImmediate } from 'node:timers/promises'

/** Milliseconds that long work may go on before others get their turn. */
const turn = 4

/** Parts of the work between two looks at the clock. */
const parts = 16

/**
 * Does long work in short turns, so that a config of thousands of routes is read and built while requests are served. Ask `isDue`
 * after each small part of the work (some microseconds), and `await rest()` when it is: not each part may cost a promise. After a
 * large one, rest without asking.
 */
export class Pace {
  #since = performance.now()
  #done = 0

  get isDue(): boolean {
    this.#done += 1
    return this.#done % parts === 0 && performance.now() - this.#since > turn
  }

  async rest(): Promise<void> {
    await setImmediate()
    this.#since = performance.now()
  }
}

/** Work in small parts, which yields after each. */
export type Turns<Result = unknown> = Generator<unknown, Result>

/** Does work in turns. */
export async function inTurns<Result>(work: Turns<Result>, pace: Pace): Promise<Result> {
  for (;;) {
    const { done, value } = work.next()
    if (done === true) return value as Result
    if (pace.isDue) await pace.rest()
  }
}

/** Does the same at once, where nobody else waits. */
export function atOnce<Result>(work: Turns<Result>): Result {
  for (;;) {
    const { done, value } = work.next()
    if (done === true) return value as Result
  }
}
