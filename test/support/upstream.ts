import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import {
  type AddressInfo,
  connect,
  createServer as createRawServer,
  type Server as RawServer,
  type Socket
} from 'node:net'
import type { Test } from 'tap'

/** Starts a server on a free loopback port; it ends with the test, connections and all. */
export async function listen(t: Test, server: RawServer | Server, port = 0): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

/** An HTTP service; `requests` are those it got, in order. */
export async function httpUpstream(t: Test, listener: RequestListener) {
  const requests: IncomingMessage[] = []
  const server = createServer({ requireHostHeader: false }, (request, response) => {
    requests.push(request)
    listener(request, response)
  })
  const port = await listen(t, server)
  return { url: `http://127.0.0.1:${port}`, port, requests, server }
}

export interface RawConnection {
  readonly socket: Socket
  /** Everything received so far, as latin1. */
  received: string
}

/** A service that speaks bytes: `onData` is called with each connection whenever something arrived. */
export async function rawUpstream(t: Test, onData: (connection: RawConnection) => void) {
  const connections: RawConnection[] = []
  const server = createRawServer({ allowHalfOpen: true }, (socket) => {
    const connection: RawConnection = { socket, received: '' }
    connections.push(connection)
    socket.on('data', (chunk) => {
      connection.received += chunk.toString('latin1')
      onData(connection)
    })
  })
  const port = await listen(t, server)
  return { url: `http://127.0.0.1:${port}`, port, connections, server }
}

/** A service that gives the same bytes to every request without a body. */
export const scripted = (t: Test, answer: string, { close = false } = {}) =>
  rawUpstream(t, (connection) => {
    if (!connection.received.endsWith('\r\n\r\n')) return
    connection.received = ''
    connection.socket.write(answer, 'latin1')
    if (close) connection.socket.end()
  })

/** A port where nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createRawServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** A client that speaks bytes. */
export class RawClient {
  readonly socket: Socket
  received = ''
  isEnded = false

  constructor(origin: string) {
    const { hostname, port } = new URL(origin)
    this.socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    this.socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1')
    })
    this.socket.on('error', () => {})
    this.socket.once('end', () => {
      this.isEnded = true
    })
    this.socket.once('close', () => {
      this.isEnded = true
    })
  }

  write(text: string): this {
    this.socket.write(text, 'latin1')
    return this
  }

  /** Resolves with everything received once it matches; rejects when that takes too long or the connection ends before. */
  async until(pattern: RegExp, timeout = 5000): Promise<string> {
    const deadline = performance.now() + timeout
    while (!pattern.test(this.received)) {
      if (this.isEnded)
        throw new Error(`the connection ended after ${JSON.stringify(this.received.slice(0, 500))}`)
      if (performance.now() > deadline) {
        throw new Error(`timed out after ${JSON.stringify(this.received.slice(0, 500))}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
    return this.received
  }

  /** Resolves with everything received once the gateway closed its side. */
  async ended(timeout = 5000): Promise<string> {
    const deadline = performance.now() + timeout
    while (!this.isEnded) {
      if (performance.now() > deadline) throw new Error(`still open after ${JSON.stringify(this.received)}`)
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
    return this.received
  }

  close(): void {
    this.socket.destroy()
  }
}

/** Sends bytes on a connection of its own and resolves with the answer up to the end of the connection. */
export async function exchange(origin: string, bytes: string, timeout?: number): Promise<string> {
  const client = new RawClient(origin).write(bytes)
  try {
    return await client.ended(timeout)
  } finally {
    client.close()
  }
}

/** A config with one open route for everything. Its service takes the transport that TOLL_TRANSPORT names; see `transports.ts`. */
export const configFor = (
  nodes: readonly string[],
  { route = {}, service = {} }: { route?: object; service?: object } = {}
): Record<string, unknown> => {
  const transport = process.env.TOLL_TRANSPORT
  return {
    store: { driver: 'embedded', path: 'store' },
    services: { up: { nodes, ...(transport !== undefined && { transport }), ...service } },
    routes: [{ id: 'all', path: '/*', service: 'up', auth: 'none', ...route }]
  }
}
