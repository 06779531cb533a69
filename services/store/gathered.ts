import { atEndOfTurn } from '../end-of-turn.ts'
import type { Operation, Store } from './store.ts'

/** Keys of one operation at most: a server is not to be kept from others for long. */
const atOnce = 128

interface Round<Answer> {
  readonly keys: string[]
  readonly answers: Promise<readonly Answer[]>
}

/**
 * Asks the same of single keys, once for all that are asked about in one turn of the event loop: what a command costs is much more than
 * what it takes to look at one more key. The store looks after it was asked, so nobody gets an answer that is older than their question.
 */
export class Gathered<Answer> {
  readonly #store: Store
  readonly #operation: Operation<readonly Answer[]>
  #round: Round<Answer> | undefined

  /** `operation` takes any number of keys, no arguments, and answers each key. */
  constructor(store: Store, operation: Operation<readonly Answer[]>) {
    this.#store = store
    this.#operation = operation
  }

  /** Rejects with StoreUnavailable. */
  async ask(key: string): Promise<Answer> {
    this.#round ??= this.#begin()
    const { keys, answers } = this.#round
    const at = keys.push(key) - 1
    if (keys.length >= atOnce || !this.#store.isWhole) this.#round = undefined
    const all = await answers
    // A server that answers something else is as good as none.
    if (all.length !== keys.length) throw new TypeError('The store answered something else.')
    return all[at]!
  }

  #begin(): Round<Answer> {
    const keys: string[] = []
    const answers = new Promise<readonly Answer[]>((resolve) => {
      atEndOfTurn(() => {
        this.#round = undefined
        resolve(this.#store.run(this.#operation, keys, []))
      })
    })
    return { keys, answers }
  }
}
