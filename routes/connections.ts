import type { Server } from 'node:http'
import type { DropArgument, Socket } from 'node:net'
import { toMilliseconds } from '../config/units.ts'
import { plainAddress, type Trusts } from '../plugins/guard/client-address.ts'
import { type Place, Places } from '../services/limits/places.ts'
import { networkOf } from '../services/limits/subject.ts'
import { Progress } from '../services/transport/progress.ts'
import type { Turns } from './turns.ts'

/** What `listen` says about connections, and whom it does not count. */
export interface ConnectionBounds {
  readonly timeouts: { readonly body: string; readonly send: string }
  readonly maxConnections: number
  readonly connectionsPerAddress: number
  /** Peers that carry the connections of many clients. */
  readonly trusts: Trusts | undefined
}

export type ConnectionRefusal = 'too_many' | 'too_many_of_address'

export interface ConnectionEvents {
  /** A connection was closed before anything of it was read. */
  onRefused(reason: ConnectionRefusal): void
  /** A request's body has stopped coming. */
  onSlowBody(socket: Socket): void
  /** A client does not take its answer; its connection is gone when this returns. */
  onSlowReader(socket: Socket): void
  /** Called about once a second. */
  onSwept(): void
}

/** Milliseconds between two looks at all connections. */
const interval = 1000

const kWatched = Symbol('watched')
type Watched = Socket & { [kWatched]?: Connection }

/**
 * Every connection of one listener. Those that are too many never reach the parser; those that stand still are found by looking at all
 * of them once a second, so that no request has a timer of its own.
 */
export class Connections {
  readonly #server: Server
  readonly #turns: Turns
  readonly #events: ConnectionEvents
  readonly #open: Connection[] = []
  readonly #perAddress = new Places()
  #maxPerAddress = 0
  #trusts: Trusts | undefined
  #body = 0
  #send = 0

  /** Puts itself between the server and what it does with a connection. */
  constructor(server: Server, turns: Turns, bounds: ConnectionBounds, events: ConnectionEvents) {
    this.#server = server
    this.#turns = turns
    this.#events = events
    this.hold(bounds)
    const parse = server.listeners('connection') as ((this: Server, socket: Socket) => void)[]
    server.removeAllListeners('connection')
    server.on('connection', (socket) => {
      if (!this.#admits(socket)) return
      for (const listener of parse) listener.call(server, socket)
    })
    server.on('drop', (_dropped?: DropArgument) => events.onRefused('too_many'))
    const sweeper = setInterval(() => this.#sweep(performance.now()), interval).unref()
    server.once('close', () => clearInterval(sweeper))
  }

  get count(): number {
    return this.#open.length
  }

  /** Bounds of a reloaded config count from now on. What is open already stays, also where it is more than they allow. */
  hold({ timeouts, maxConnections, connectionsPerAddress, trusts }: ConnectionBounds): void {
    this.#server.maxConnections = maxConnections
    this.#maxPerAddress = connectionsPerAddress
    this.#trusts = trusts
    this.#body = toMilliseconds(timeouts.body)
    this.#send = toMilliseconds(timeouts.send)
  }

  #admits(socket: Socket): boolean {
    // An upgrade that nobody took comes back as the connection that it was.
    if ((socket as Watched)[kWatched] !== undefined) return true
    // Node looks at the connections that it accepts itself only.
    if (this.#open.length >= this.#server.maxConnections) return this.#refuse(socket, 'too_many')
    const address = plainAddress(socket.remoteAddress ?? '')
    let place: Place | undefined
    if (this.#trusts?.(address) !== true) {
      place = this.#perAddress.take(networkOf(address), this.#maxPerAddress)
      if (place === undefined) return this.#refuse(socket, 'too_many_of_address')
    }
    const connection = new Connection(socket, this.#open.length)
    ;(socket as Watched)[kWatched] = connection
    this.#open.push(connection)
    socket.once('close', () => {
      place?.release()
      this.#forget(connection)
    })
    return true
  }

  #refuse(socket: Socket, reason: ConnectionRefusal): false {
    this.#events.onRefused(reason)
    // Not reset: the client is told that it ended, not that it broke.
    socket.destroy()
    return false
  }

  #forget(connection: Connection): void {
    const last = this.#open.pop()!
    if (last === connection) return
    last.at = connection.at
    this.#open[last.at] = last
  }

  #sweep(now: number): void {
    // From the end, since what is cut takes itself out.
    for (let at = this.#open.length - 1; at >= 0; at -= 1) {
      const connection = this.#open[at]
      if (connection?.isWatched === true) this.#look(connection.progress, now)
    }
    this.#events.onSwept()
  }

  #look(progress: Progress, now: number): void {
    const { socket } = progress
    if (this.#send > 0 && progress.standstill(now) >= this.#send) {
      // Its end would wait behind what the client does not take, in the kernel.
      socket.resetAndDestroy()
      this.#events.onSlowReader(socket)
    } else if (this.#body > 0 && progress.silence(this.#turns.awaitsBody(socket), now) >= this.#body) {
      this.#events.onSlowBody(socket)
    }
  }
}

class Connection {
  readonly progress: Progress
  at: number
  isWatched = true

  constructor(socket: Socket, at: number) {
    this.progress = new Progress(socket)
    this.at = at
  }
}

/** A socket that has become a tunnel moves as its two ends like; it still counts. */
export function stopWatching(socket: Socket): void {
  const connection = (socket as Watched)[kWatched]
  if (connection !== undefined) connection.isWatched = false
}
