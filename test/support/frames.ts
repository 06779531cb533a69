import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { listen } from './upstream.ts'

export interface FrameOptions {
  readonly fin?: boolean
  /** Three bits, RSV1 the highest. */
  readonly rsv?: number
  readonly isMasked?: boolean
  /** Bytes of extended length, where they are to be more than needed. */
  readonly extended?: 0 | 2 | 8
}

/** One WebSocket frame (RFC 6455 5.2), also one that no endpoint would take. */
export function frame(
  opcode: number,
  payload: Buffer | string = '',
  { fin = true, rsv = 0, isMasked = false, extended }: FrameOptions = {}
): Buffer {
  const data = Buffer.from(payload)
  const more = extended ?? (data.length < 126 ? 0 : data.length < 65_536 ? 2 : 8)
  const head = Buffer.alloc(2 + more)
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  head[1] = (isMasked ? 0x80 : 0) | (more === 0 ? data.length : more === 2 ? 126 : 127)
  if (more === 2) head.writeUInt16BE(data.length, 2)
  if (more === 8) head.writeBigUInt64BE(BigInt(data.length), 2)
  if (!isMasked) return Buffer.concat([head, data])
  const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d])
  for (let index = 0; index < data.length; index += 1) data[index]! ^= mask[index % 4]!
  return Buffer.concat([head, mask, data])
}

/** A close frame. */
export const closing = (code?: number, reason = '', options?: FrameOptions): Buffer =>
  frame(
    8,
    code === undefined
      ? ''
      : Buffer.concat([Buffer.from([(code >> 8) & 0xff, code & 0xff]), Buffer.from(reason)]),
    options
  )

/** Bytes that differ from place to place. */
export const noise = (size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  for (let index = 0; index < size; index += 1) bytes[index] = (index * 31 + (index >> 8)) & 0xff
  return bytes
}

/** How a connection ended, as the side that did not end it sees it. */
export type Ending = 'end' | 'reset' | 'closed'

/** One end of a tunnel. */
export class End {
  readonly socket: Socket
  readonly #chunks: Buffer[] = []
  size = 0
  ending: Ending | undefined

  constructor(socket: Socket, rest: Buffer) {
    this.socket = socket
    this.#take(rest)
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('end', () => {
      this.ending ??= 'end'
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.ending ??= error.code === 'ECONNRESET' ? 'reset' : 'closed'
    })
    socket.on('close', () => {
      this.ending ??= 'closed'
    })
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  /** Resolves once so many bytes have come. */
  async got(size: number, patience = 15_000): Promise<void> {
    const deadline = performance.now() + patience
    while (this.size < size) {
      if (this.ending !== undefined) throw new Error(`${this.ending} after ${this.size} of ${size} bytes`)
      if (performance.now() > deadline) throw new Error(`${this.size} of ${size} bytes came`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  async ended(patience = 15_000): Promise<Ending> {
    const deadline = performance.now() + patience
    while (this.ending === undefined) {
      if (performance.now() > deadline) throw new Error(`still open after ${this.size} bytes`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    return this.ending
  }

  #take(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.size += chunk.length
  }
}

export interface OpenOptions {
  /** Sent along with the handshake by the one, and with its answer by the other. */
  readonly early?: { readonly client?: Buffer; readonly service?: Buffer }
  /** More header lines, each with its end. */
  readonly headers?: string
}

/** A service that agrees to every upgrade, and ends with its clients if it `endsAlong`; and both ends of each tunnel to it, whether a gateway stands between them or not. */
export async function tunnelService(t: Test, { endsAlong = false } = {}) {
  const waiting = new Map<string, (end: End) => void>()
  const answers = new Map<string, Buffer>()
  const heads: string[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let head = Buffer.alloc(0)
    const read = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      socket.off('data', read)
      heads.push(head.toString('latin1', 0, end))
      const [, name = ''] = /^GET \/(\S+)/.exec(heads.at(-1)!) ?? []
      const words = Buffer.from(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
      )
      socket.write(Buffer.concat([words, answers.get(name) ?? Buffer.alloc(0)]))
      if (endsAlong) socket.once('end', () => socket.end())
      waiting.get(name)?.(new End(socket, head.subarray(end + 4)))
    }
    socket.on('data', read)
  })
  const port = await listen(t, server)
  let count = 0
  return {
    url: `http://127.0.0.1:${port}`,
    server,
    heads,
    /** Opens one tunnel by way of `origin`. */
    async open(origin: string, { early, headers = '' }: OpenOptions = {}) {
      const name = `tunnel-${count++}`
      const arrived = new Promise<End>((resolve) => waiting.set(name, resolve))
      if (early?.service !== undefined) answers.set(name, early.service)
      const client = await openRaw(t, origin, `/${name}`, headers, early?.client)
      return { client, service: await arrived }
    }
  }
}

/** Asks for a WebSocket and resolves with the client's end of it; rejects when the answer is another one. */
export async function openRaw(
  t: Test,
  origin: string,
  path = '/',
  headers = '',
  early: Buffer = Buffer.alloc(0)
): Promise<End> {
  const { hostname, port } = new URL(origin)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(
    Buffer.concat([
      Buffer.from(
        `GET ${path} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`
      ),
      early
    ])
  )
  let head = Buffer.alloc(0)
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(new Error(`refused: ${head.toString('latin1')}`))
    const read = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0 || !head.toString('latin1', 0, 12).startsWith('HTTP/1.1 101')) return
      socket.off('data', read)
      socket.off('close', fail)
      socket.off('end', fail)
      resolve(new End(socket, head.subarray(end + 4)))
    }
    socket.on('data', read)
    socket.on('close', fail)
    socket.on('end', fail)
  })
}
