import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { DeliveryError } from '../delivery.ts'

/** Sends messages as datagrams (RFC 5426), to an address that is looked up anew after each failure. */
export class Datagrams {
  readonly #peer: { readonly host: string; readonly port: number }
  #socket: Promise<Socket> | undefined

  constructor(peer: { readonly host: string; readonly port: number }) {
    this.#peer = peer
  }

  async send(messages: readonly Buffer[], signal: AbortSignal): Promise<void> {
    this.#socket ??= this.#open()
    try {
      const socket = await this.#socket
      for (const message of messages) {
        signal.throwIfAborted()
        await sendOne(socket, message)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  close(): void {
    this.#socket?.then(
      (socket) => socket.close(),
      () => {}
    )
    this.#socket = undefined
  }

  async #open(): Promise<Socket> {
    const { address, family } = await lookup(this.#peer.host)
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4').unref()
    await new Promise<void>((resolve, reject) => {
      // It stays: a host that says "nobody listens here" says so again at the next message.
      socket.on('error', reject)
      socket.once('connect', resolve)
      socket.connect(this.#peer.port, address)
    })
    return socket
  }
}

const sendOne = (socket: Socket, message: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.send(message, (error) => {
      if (error === null || error === undefined) resolve()
      // One that fits into no datagram would be in the way of all others.
      else if ((error as NodeJS.ErrnoException).code === 'EMSGSIZE') {
        reject(new DeliveryError('a line is too long for a datagram', { retry: 'too large' }))
      } else reject(error)
    })
  })
