import { atEndOfTurn } from '../end-of-turn.ts'
import type { Store } from '../store/store.ts'
import { type Answer, type Asked, argsOf, keysOf, takeOperation } from './take.ts'

/** Undefined when the store failed, or took too long. */
export type Told = Answer | undefined

/** Keys of one operation at most: a server is not to be kept from others for long. */
const atOnce = 128

export interface TurnEvents {
  /** The store failed, or has not answered for twice as long as anybody waits. */
  onAway(cause: unknown): void
  /** It was late, but has answered all that it was asked. */
  onCaughtUp(): void
}

/**
 * Asks the store once for all that the requests of one turn of the event loop want to know. What an answer costs (a command, a promise, a
 * write) is much more than what it takes to look at one more key.
 *
 * Nobody waits longer than `patience`: the store is late then, whoever waits is told nothing, and nobody waits any more until it has
 * answered. When it has not after twice as long, it is away: a server that stumbles is not, and a busy machine has many that do.
 */
export class Turn {
  readonly #store: Store
  readonly #patience: number
  readonly #events: TurnEvents
  /** Questions that the store is late with, and that do not tell yet that it is away. */
  #late = 0
  #keys: string[] = []
  #asked: Asked[] = []
  #waiting: ((told: Told) => void)[] = []

  /** `patience` in milliseconds. */
  constructor(store: Store, patience: number, events: TurnEvents) {
    this.#store = store
    this.#patience = patience
    this.#events = events
  }

  /** Whether a question would have to wait for a store that is late already. */
  get isLate(): boolean {
    return this.#late > 0
  }

  ask(key: string, asked: Asked): Promise<Told> {
    if (this.#keys.length === 0) atEndOfTurn(this.#send)
    this.#keys.push(key)
    this.#asked.push(asked)
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      if (this.#keys.length >= atOnce || !this.#store.isWhole) this.#send()
    })
  }

  readonly #send = (): void => {
    if (this.#keys.length === 0) return
    const [keys, asked] = [this.#keys, this.#asked]
    let waiting = this.#waiting
    this.#keys = []
    this.#asked = []
    this.#waiting = []
    let stage: 'asked' | 'late' | 'over' = 'asked'
    let timer: NodeJS.Timeout | undefined
    const tell = (told: readonly Answer[] | undefined): void => {
      const all = waiting
      waiting = []
      for (let at = 0; at < all.length; at += 1) all[at]!(told?.[at])
    }
    const end = (): void => {
      clearTimeout(timer)
      if (stage === 'late') this.#late -= 1
      stage = 'over'
    }
    const fail = (cause: unknown): void => {
      if (stage === 'over') return
      end()
      tell(undefined)
      this.#events.onAway(cause)
    }
    const onTime = (): void => {
      if (stage === 'asked') {
        stage = 'late'
        this.#late += 1
        tell(undefined)
        wait()
      } else fail(new Error('The store did not answer in time.'))
    }
    const wait = (): void => {
      // A process that was busy itself finds the answer among what it has not read yet.
      timer = setTimeout(() => setImmediate(() => setImmediate(onTime)), this.#patience)
    }
    wait()
    this.#store
      .run(takeOperation, keysOf(keys, asked), argsOf(asked))
      .then((answers) => {
        if (stage === 'over') return
        if (answers.length !== keys.length) throw new TypeError('The store answered something else.')
        const wasLate = stage === 'late'
        end()
        tell(answers)
        if (wasLate && !this.isLate) this.#events.onCaughtUp()
      })
      .catch(fail)
  }
}
