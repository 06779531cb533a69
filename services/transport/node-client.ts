import { Connection, type Endpoint } from './connection.ts'

/** Somebody who waits for a connection. */
export interface Waiter {
  onConnection(connection: Connection): void
  /** No connection could be made. */
  onRefused(cause: unknown): void
}

export interface ClientLimits {
  readonly maxConnections: number
  readonly maxQueue: number
}

/** Large bodies come in fewer pieces; small ones touch only the first pages of it. */
const readSize = 256 * 1024

/** Shortest time between two looks for connections that were idle for too long. */
const sweepPause = 1000

/** The connections to one node: idle ones are taken youngest first, new ones up to a cap, and beyond it a bounded queue. */
export class NodeClient {
  readonly #endpoint: Endpoint
  readonly #limits: ClientLimits
  readonly #idle: Connection[] = []
  readonly #all = new Set<Connection>()
  readonly #opening = new Map<Connection, Waiter>()
  readonly #queue = new Set<Waiter>()
  /** What arrives is read into this and copied out at once, so one is enough for all. */
  #buffer: Buffer | undefined
  #sweeper: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(endpoint: Endpoint, limits: ClientLimits) {
    this.#endpoint = endpoint
    this.#limits = limits
  }

  get open(): number {
    return this.#all.size
  }

  get queued(): number {
    return this.#queue.size
  }

  /** Finds a connection that was idle for less than `maxIdle` milliseconds or makes one, now or later. Returns false, and does nothing, when too many wait already. */
  acquire(waiter: Waiter, maxIdle: number): boolean {
    const idle = this.#takeIdle(maxIdle)
    if (idle !== undefined) waiter.onConnection(idle)
    else if (this.#all.size < this.#limits.maxConnections) this.#connect(waiter)
    else if (this.#idle.length > 0) {
      // All are idle for too long to be trusted with this request: one of them makes room.
      this.#idle[0]!.drop()
      this.#connect(waiter)
    } else if (this.#queue.size < this.#limits.maxQueue) this.#queue.add(waiter)
    else return false
    return true
  }

  /** The waiter lost interest; a connection on its way for it is given up. True when it was still in the queue. */
  leave(waiter: Waiter): boolean {
    if (this.#queue.delete(waiter)) return true
    for (const [connection, owner] of this.#opening) {
      if (owner !== waiter) continue
      this.#opening.delete(connection)
      connection.drop()
    }
    return false
  }

  /** Lets running exchanges finish; idle connections go now. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#sweeper)
    for (const connection of this.#idle.splice(0)) connection.drop()
  }

  /** The youngest idle connection, when it is young enough. */
  #takeIdle(maxIdle: number): Connection | undefined {
    const now = performance.now()
    for (;;) {
      const connection = this.#idle.at(-1)
      if (connection === undefined) return undefined
      const age = now - connection.idleSince
      if (age >= connection.idleLimit || !connection.socket.writable) {
        // Leaves the stack on its way out.
        connection.drop()
        continue
      }
      return age < maxIdle ? this.#idle.pop() : undefined
    }
  }

  #connect(waiter: Waiter): void {
    this.#buffer ??= Buffer.allocUnsafeSlow(readSize)
    const connection = new Connection(
      this.#endpoint,
      this.#buffer,
      this.#onOpen,
      this.#onIdle,
      this.#onClosed
    )
    this.#all.add(connection)
    this.#opening.set(connection, waiter)
  }

  readonly #onOpen = (connection: Connection): void => {
    const waiter = this.#opening.get(connection)
    this.#opening.delete(connection)
    if (waiter !== undefined) waiter.onConnection(connection)
    else this.#onIdle(connection)
  }

  readonly #onIdle = (connection: Connection): void => {
    if (this.#isClosed) {
      connection.drop()
      return
    }
    const next = this.#shift()
    if (next !== undefined) {
      next.onConnection(connection)
      return
    }
    connection.idleSince = performance.now()
    this.#idle.push(connection)
    if (this.#idle.length > 1) this.#trim(connection.idleSince)
    this.#sweeper ??= this.#sweepIn(connection.idleLimit)
  }

  #sweepIn(milliseconds: number): NodeJS.Timeout {
    return setTimeout(this.#sweep, Math.max(sweepPause, milliseconds)).unref()
  }

  /** Drops what nobody would be given any more: a burst does not leave its connections behind when hardly anything follows it. */
  readonly #sweep = (): void => {
    this.#sweeper = undefined
    const now = performance.now()
    const over = this.#idle.filter(({ idleSince, idleLimit }) => now - idleSince >= idleLimit)
    for (const connection of over) connection.drop()
    const oldest = this.#idle[0]
    if (oldest !== undefined) this.#sweeper = this.#sweepIn(oldest.idleSince + oldest.idleLimit - now)
  }

  readonly #onClosed = (connection: Connection, cause?: unknown): void => {
    this.#all.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
    const waiter = this.#opening.get(connection)
    this.#opening.delete(connection)
    waiter?.onRefused(cause)
    const next = this.#all.size < this.#limits.maxConnections ? this.#shift() : undefined
    if (next !== undefined) this.#connect(next)
  }

  #shift(): Waiter | undefined {
    if (this.#queue.size === 0) return undefined
    for (const waiter of this.#queue) {
      this.#queue.delete(waiter)
      return waiter
    }
    return undefined
  }

  /** The oldest idle connection is the first to be closed by the node: drop it when its time is over. */
  #trim(now: number): void {
    const oldest = this.#idle[0]!
    if (now - oldest.idleSince >= oldest.idleLimit) oldest.drop()
  }
}
