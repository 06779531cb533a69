import type { Redis } from 'ioredis'
import { atEndOfTurn, isEndOfTurn } from '../../end-of-turn.ts'

/**
 * Lets the commands of one turn of the event loop share a write. Requests that arrive together ask Redis together, and a write costs more
 * than all else that a command does.
 */
export class Batch {
  readonly #client: Redis
  #corked: Redis['stream'] | undefined

  constructor(client: Redis) {
    this.#client = client
  }

  /** What is sent from now on waits for the end of this turn, unless that has come. */
  join(): void {
    if (this.#corked !== undefined || isEndOfTurn()) return
    const { stream } = this.#client
    // There is none until the first connection.
    if (stream === undefined || stream.destroyed) return
    stream.cork()
    this.#corked = stream
    atEndOfTurn(this.#send)
  }

  readonly #send = (): void => {
    this.#corked?.uncork()
    this.#corked = undefined
  }
}
