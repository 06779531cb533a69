import type { Socket } from 'node:net'
import { InFlight } from '../in-flight.ts'
import type { Services } from '../services.ts'
import { closeFrame, FrameTracker } from './frame-tracker.ts'

/** How long a peer may take to answer the gateway's close frame. */
const farewell = 1000

/** Two sockets that speak WebSocket to each other: bytes pass as they are, in both directions, with backpressure and half-close. */
export class Tunnel {
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #toClient = new FrameTracker()
  readonly #toUpstream = new FrameTracker()
  readonly #onClosed: (tunnel: Tunnel) => void
  #open = 2
  #closing: number | undefined
  #isClientTold = false
  #isUpstreamTold = false

  /** Takes both sockets over. `idle` in milliseconds, 0 for no limit. */
  constructor(client: Socket, upstream: Socket, idle: number, onClosed: (tunnel: Tunnel) => void) {
    this.#client = client
    this.#upstream = upstream
    this.#onClosed = onClosed
    client.setTimeout(0)
    client.setNoDelay(true)
    upstream.setTimeout(idle)
    // Everything passes through this socket, one way or the other.
    upstream.on('timeout', () => this.close(1001))
    this.#join(client, upstream, (chunk) => this.#fromClient(chunk))
    this.#join(upstream, client, (chunk) => this.#fromUpstream(chunk))
  }

  /** Bytes that came along with the handshake. */
  feed({ fromClient, fromUpstream }: { fromClient: Buffer; fromUpstream: Buffer }): void {
    if (fromUpstream.length > 0) this.#fromUpstream(fromUpstream)
    if (fromClient.length > 0) this.#fromClient(fromClient)
  }

  /** Ends both sides with a close frame between two frames of the stream, and for good after `patience` milliseconds. */
  close(code: number, patience = farewell): void {
    if (this.#closing !== undefined) return
    this.#closing = code
    if (this.#toClient.isAtBoundary) this.#tellClient()
    if (this.#toUpstream.isAtBoundary) this.#tellUpstream()
    setTimeout(() => this.destroy(), patience).unref()
  }

  destroy(): void {
    this.#client.destroy()
    this.#upstream.destroy()
  }

  #join(from: Socket, to: Socket, pass: (chunk: Buffer) => boolean): void {
    from.on('data', (chunk: Buffer) => {
      if (!pass(chunk)) from.pause()
    })
    to.on('drain', () => from.resume())
    from.on('end', () => to.end())
    from.on('error', (error: NodeJS.ErrnoException) => {
      // An abrupt end on one side is an abrupt end on the other.
      if (error.code === 'ECONNRESET' && !to.destroyed) to.resetAndDestroy()
      else to.destroy()
    })
    from.on('close', () => {
      // What was received before a proper end is still being written; anything else ends at once.
      if (!from.readableEnded) to.destroy()
      else if (!to.destroyed) to.end()
      this.#open -= 1
      if (this.#open === 0) this.#onClosed(this)
    })
    from.resume()
  }

  #fromUpstream(chunk: Buffer): boolean {
    if (this.#isClientTold) return true
    const end = this.#toClient.follow(chunk, this.#closing !== undefined)
    const isTaken = this.#client.write(end === chunk.length ? chunk : chunk.subarray(0, end))
    if (this.#closing !== undefined && this.#toClient.isAtBoundary) this.#tellClient()
    return isTaken
  }

  #fromClient(chunk: Buffer): boolean {
    if (this.#isUpstreamTold) {
      // The client's answer to our close frame, or what it had under way: the end is near either way.
      return true
    }
    const end = this.#toUpstream.follow(chunk, this.#closing !== undefined)
    const isTaken = this.#upstream.write(end === chunk.length ? chunk : chunk.subarray(0, end))
    if (this.#closing !== undefined && this.#toUpstream.isAtBoundary) this.#tellUpstream()
    return isTaken
  }

  #tellClient(): void {
    this.#isClientTold = true
    this.#client.end(closeFrame(this.#closing!, false))
  }

  #tellUpstream(): void {
    this.#isUpstreamTold = true
    this.#upstream.end(closeFrame(this.#closing!, true))
  }
}

/** Every tunnel of the process. It belongs to no config, so a reload closes none; the last lease's end closes all. */
export class Tunnels {
  /** By whom each was opened. */
  readonly #open = new Map<Tunnel, string>()
  readonly inFlight = new InFlight()

  get count(): number {
    return this.#open.size
  }

  /** `from` is the address of the client; `onClosed` is called once both sockets are gone. */
  open(
    client: Socket,
    upstream: Socket,
    { from, idle }: { readonly from: string; readonly idle: number },
    onClosed: () => void
  ): Tunnel {
    const tunnel = new Tunnel(client, upstream, idle, (closed) => {
      this.#open.delete(closed)
      this.inFlight.leave()
      onClosed()
    })
    this.#open.set(tunnel, from)
    this.inFlight.enter()
    return tunnel
  }

  /** Ends those of clients that are shut out, with 1008 (policy violation). */
  endOf(isShutOut: (address: string) => boolean): void {
    for (const [tunnel, from] of this.#open) if (isShutOut(from)) tunnel.close(1008, 500)
  }

  /** Says goodbye with 1001 (going away) and resolves when all are gone. */
  async close(): Promise<void> {
    for (const tunnel of this.#open.keys()) tunnel.close(1001)
    const deadline = performance.now() + farewell + 200
    while (this.#open.size > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** The tunnels of the process, whichever config they were opened under. */
export const tunnelsOf = (services: Pick<Services, 'shared'>): Tunnels =>
  services.shared(
    'tunnels',
    () => new Tunnels(),
    (tunnels) => tunnels.close()
  )
