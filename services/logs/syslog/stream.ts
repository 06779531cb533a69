import { connect, isIP, type Socket } from 'node:net'
import { connect as connectSecurely } from 'node:tls'
import { DeliveryError } from '../delivery.ts'
import { readTLS } from '../tls.ts'
import type { TLSOptions } from '../tls-slice.ts'

interface Peer {
  readonly host: string
  readonly port: number
}

interface Way {
  readonly transport: 'tcp' | 'tls'
  readonly tls: TLSOptions | undefined
  readonly directory: string
}

/** Sends messages over one connection, each with its length before it (RFC 6587 3.4.1, RFC 5425 4.3.1). */
export class Stream {
  readonly #peer: Peer
  readonly #way: Way
  #socket: Socket | undefined

  constructor(peer: Peer, way: Way) {
    this.#peer = peer
    this.#way = way
  }

  async send(messages: readonly Buffer[], signal: AbortSignal): Promise<void> {
    const framed = messages.flatMap((message) => [Buffer.from(`${message.length} `), message])
    const end = (): void => this.close()
    signal.addEventListener('abort', end, { once: true })
    try {
      const socket = await this.#connected(signal)
      await new Promise<void>((resolve, reject) => {
        const onClose = (): void => reject(new DeliveryError('the connection was closed'))
        socket.once('close', onClose)
        socket.once('error', reject)
        socket.write(Buffer.concat(framed), (error) => {
          socket.off('close', onClose)
          socket.off('error', reject)
          if (error === null || error === undefined) resolve()
          else reject(error)
        })
      })
    } catch (error) {
      this.close()
      throw error
    } finally {
      signal.removeEventListener('abort', end)
    }
  }

  /** What was written is on its way, and goes on. */
  close(): void {
    const socket = this.#socket
    this.#socket = undefined
    if (socket === undefined) return
    socket.end()
    setTimeout(() => socket.destroy(), graceful).unref()
  }

  async #connected(signal: AbortSignal): Promise<Socket> {
    if (this.#socket?.writable === true) return this.#socket
    this.close()
    const socket = await this.#connect()
    this.#socket = socket
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const onClose = (): void => reject(new DeliveryError('the connection was closed'))
      // It stays: an error that comes later must not end the process, and is seen by the next write.
      socket.on('error', reject)
      socket.once('close', onClose)
      socket.once(this.#way.transport === 'tls' ? 'secureConnect' : 'connect', () => {
        socket.off('close', onClose)
        resolve()
      })
    })
    // Nothing comes back; what does is thrown away, so that the end of the connection is seen.
    socket.resume()
    socket.setKeepAlive(true, 30_000)
    return socket
  }

  async #connect(): Promise<Socket> {
    const { transport, tls, directory } = this.#way
    if (transport === 'tcp') return connect(this.#peer)
    const { servername = this.#peer.host, ...files } = await readTLS(tls, directory)
    return connectSecurely({ ...this.#peer, ...files, ...(isIP(servername) === 0 && { servername }) })
  }
}

/** Milliseconds in which what was written may still go out. */
const graceful = 1000
