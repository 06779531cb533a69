import { atEndOfTurn } from '../end-of-turn.ts'
import type { Store } from '../store/store.ts'
import { type Answer, type Asked, argsOf, keysOf, takeOperation } from './take.ts'

/** Undefined when the store failed, or took too long. */
export type Told = Answer | undefined

/** Questions that are asked together. */
interface Round {
  readonly keys: string[]
  readonly asked: Asked[]
  /** Undefined where the store does not tell. */
  readonly told: Promise<readonly Answer[] | undefined>
  readonly tell: (answers: readonly Answer[] | undefined) => void
}

/** Keys of one operation at most: a server is not to be kept from others for long. */
const atOnce = 128

const same = (told: Told): unknown => told

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
  #round: Round | undefined

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

  /** Resolves with what `then` makes of the answer, or with the answer itself. */
  ask<Made = Told>(key: string, asked: Asked, then = same as (told: Told) => Made): Promise<Made> {
    this.#round ??= this.#begin()
    const round = this.#round
    const at = round.keys.push(key) - 1
    round.asked.push(asked)
    if (at + 1 >= atOnce || !this.#store.isWhole) this.#send()
    return round.told.then((answers) => then(answers?.[at]))
  }

  #begin(): Round {
    atEndOfTurn(this.#send)
    let tell: Round['tell'] = () => {}
    const told = new Promise<readonly Answer[] | undefined>((resolve) => (tell = resolve))
    return { keys: [], asked: [], told, tell }
  }

  readonly #send = (): void => {
    const round = this.#round
    if (round === undefined) return
    this.#round = undefined
    const { keys, asked, tell } = round
    let stage: 'asked' | 'late' | 'over' = 'asked'
    let timer: NodeJS.Timeout | undefined
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
