import { connect, type Socket } from 'node:net'

/** In how many ways a client can be slow, and how many of each there are. */
export interface Slowness {
  /** Send a byte of a header now and then, for ever. */
  readonly heads: number
  /** Send the beginning of a body, and then nothing. */
  readonly silentBodies: number
  /** Send a byte of a body now and then, for ever. */
  readonly drippedBodies: number
  /** Ask for a large answer and do not read it. */
  readonly readers: number
}

/** Milliseconds between two bytes of those that drip. */
const drip = 400

/** Clients on connections of their own that take as long as they are let. */
export class SlowClients {
  readonly #sockets: Socket[] = []
  readonly #dripping: Socket[] = []
  readonly #timer: NodeJS.Timeout
  /** How many were answered with 408 before their connection ended. */
  told = 0
  #open = 0

  /** `large` is the path of an answer that no buffer on the way can hold. */
  constructor(origin: string, { heads, silentBodies, drippedBodies, readers }: Slowness, large: string) {
    const port = Number(new URL(origin).port)
    const body = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx'
    for (let count = 0; count < heads; count += 1)
      this.#dripping.push(this.#begin(port, 'GET / HTTP/1.1\r\nHost: a\r\nX-Slow: '))
    for (let count = 0; count < silentBodies; count += 1) this.#begin(port, body)
    for (let count = 0; count < drippedBodies; count += 1) this.#dripping.push(this.#begin(port, body))
    for (let count = 0; count < readers; count += 1)
      this.#begin(port, `GET ${large} HTTP/1.1\r\nHost: a\r\n\r\n`).pause()
    this.#open -= readers
    this.#timer = setInterval(() => {
      for (const socket of this.#dripping) if (socket.writable) socket.write('x')
    }, drip)
  }

  /** Connections that nobody has ended, but for those of readers: who does not read does not hear of it either. */
  get open(): number {
    return this.#open
  }

  close(): void {
    clearInterval(this.#timer)
    for (const socket of this.#sockets) socket.destroy()
  }

  #begin(port: number, bytes: string): Socket {
    const socket = connect({ host: '127.0.0.1', port })
    this.#open += 1
    socket.once('data', (chunk) => {
      if (chunk.toString('latin1').startsWith('HTTP/1.1 408 ')) this.told += 1
    })
    socket.on('error', () => {})
    // One that is paused gives no sign of its end.
    socket.once('close', () => {
      if (!socket.isPaused()) this.#open -= 1
    })
    socket.write(bytes, 'latin1')
    this.#sockets.push(socket)
    return socket
  }
}

/** How long requests took, in milliseconds. */
export interface Waits {
  readonly count: number
  /** Those that were not answered with 200. */
  readonly failed: number
  readonly median: number
  readonly p99: number
  readonly longest: number
}

/** Asks from so many clients at once, one request after the other, as long as `goesOn`. */
export async function waitsOf(url: string, clients: number, goesOn: () => boolean): Promise<Waits> {
  const waits: number[] = []
  let failed = 0
  const one = async (): Promise<void> => {
    while (goesOn()) {
      const began = performance.now()
      const status = await fetch(url, { signal: AbortSignal.timeout(30_000) }).then(
        async (response) => {
          await response.arrayBuffer()
          return response.status
        },
        () => 0
      )
      waits.push(performance.now() - began)
      if (status !== 200) failed += 1
    }
  }
  await Promise.all(Array.from({ length: clients }, one))
  waits.sort((a, b) => a - b)
  const at = (share: number): number => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))]!
  return { count: waits.length, failed, median: at(0.5), p99: at(0.99), longest: waits.at(-1)! }
}
