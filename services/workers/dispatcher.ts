import type { Socket } from 'node:net'

/** Who takes connections. */
export interface Taker {
  /** False when it could not be handed over; then it is still there. */
  hand(socket: Socket): boolean
}

/**
 * Hands connections to workers in turns. Each worker has one on its way at a time and says when it has it: one that is busy or stands still
 * gets none meanwhile, and one that dies takes no more than that with it. Where there is no worker they wait.
 */
export class Dispatcher {
  readonly #mostWaiting: number
  readonly #waiting: Socket[] = []
  readonly #ready: Taker[] = []

  /** As many as can be handed over within about a second may wait. */
  constructor(mostWaiting = 4096) {
    this.#mostWaiting = mostWaiting
  }

  /** Takes in a connection that nothing was read from. */
  add(socket: Socket): void {
    if (this.#waiting.length >= this.#mostWaiting) {
      socket.destroy()
      return
    }
    // Nobody else listens for the end of a client that did not wait.
    socket.on('error', () => {})
    this.#waiting.push(socket)
    this.#deal()
  }

  /** This one can take a connection. */
  ready(taker: Taker): void {
    if (!this.#ready.includes(taker)) this.#ready.push(taker)
    this.#deal()
  }

  /** This one takes none any more. */
  remove(taker: Taker): void {
    const at = this.#ready.indexOf(taker)
    if (at >= 0) this.#ready.splice(at, 1)
  }

  /** Ends what waits still. */
  close(): void {
    for (const socket of this.#waiting.splice(0)) socket.destroy()
  }

  #deal(): void {
    while (this.#waiting.length > 0 && this.#ready.length > 0) {
      const taker = this.#ready.shift()!
      if (taker.hand(this.#waiting[0]!)) this.#waiting.shift()
    }
  }
}
