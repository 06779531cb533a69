import type { Store } from '../store/store.ts'
import { type Answer, type Asked, argsOf, takeOperation } from './take.ts'

/** Undefined when the store failed, or took too long. */
export type Told = Answer | undefined

/** Keys of one operation at most: a server is not to be kept from others for long. */
const atOnce = 128

/**
 * Asks the store once for all that the requests of one turn of the event loop want to know. What an answer costs (a command, a promise, a
 * write) is much more than what it takes to look at one more key.
 *
 * Nobody waits longer than `patience`: the store is late then, and whoever waits is told nothing.
 */
export class Turn {
  readonly #store: Store
  readonly #patience: number
  readonly #onLate: (cause: unknown) => void
  #keys: string[] = []
  #asked: Asked[] = []
  #waiting: ((told: Told) => void)[] = []

  /** `patience` in milliseconds. */
  constructor(store: Store, patience: number, onLate: (cause: unknown) => void) {
    this.#store = store
    this.#patience = patience
    this.#onLate = onLate
  }

  ask(key: string, asked: Asked): Promise<Told> {
    if (this.#keys.length === 0) setImmediate(this.#send)
    this.#keys.push(key)
    this.#asked.push(asked)
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      if (this.#keys.length >= atOnce || !this.#store.isWhole) this.#send()
    })
  }

  readonly #send = (): void => {
    if (this.#keys.length === 0) return
    const [keys, asked, waiting] = [this.#keys, this.#asked, this.#waiting]
    this.#keys = []
    this.#asked = []
    this.#waiting = []
    let isOpen = true
    const settle = (told: readonly Answer[] | undefined): void => {
      if (!isOpen) return
      isOpen = false
      clearTimeout(timer)
      for (const [at, tell] of waiting.entries()) tell(told?.[at])
    }
    const fail = (cause: unknown): void => {
      if (!isOpen) return
      this.#onLate(cause)
      settle(undefined)
    }
    const timer = setTimeout(() => {
      // A process that was busy itself finds the answer among what it has not read yet.
      setImmediate(() => setImmediate(fail, new Error('The store did not answer in time.')))
    }, this.#patience)
    this.#store.run(takeOperation, keys, argsOf(asked)).then((answers) => {
      if (answers.length === keys.length) settle(answers)
      else fail(new TypeError('The store answered something else.'))
    }, fail)
  }
}
