import { type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { markUpgrade } from '../../plugins/web-sockets.ts'

const kUpgrade = Symbol('upgrade')

/** Most bytes taken from a client before anybody wants them. */
const maxHeld = 64 * 1024

/** How long a refused client may go on sending, so that it gets to read the refusal. */
const lingering = 500

/** A socket that waits for the corridor's verdict. It is read meanwhile: a client that leaves is noticed in no other way. */
export class PendingUpgrade {
  readonly socket: Socket
  readonly #held: Buffer[] = []
  #size = 0

  constructor(socket: Socket, head: Buffer) {
    this.socket = socket
    socket.on('data', this.#onData)
    socket.once('end', this.#onEnd)
    this.#onData(head)
  }

  /** Gives the socket away, and what the client has sent behind the request. */
  release(): Buffer {
    this.socket.off('data', this.#onData)
    this.socket.off('end', this.#onEnd)
    this.socket.pause()
    return Buffer.concat(this.#held)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#held.push(chunk)
    this.#size += chunk.length
    if (this.#size > maxHeld) this.socket.pause()
  }

  readonly #onEnd = (): void => {
    this.socket.destroy()
  }
}

type Marked = IncomingMessage & { [kUpgrade]?: PendingUpgrade }

/** What an upgrade left with a request; undefined for ordinary requests. */
export const pendingUpgrade = (raw: IncomingMessage): PendingUpgrade | undefined => (raw as Marked)[kUpgrade]

/** Only WebSocket is spoken here; any other Upgrade is an offer to be ignored (RFC 9110 7.8). */
export const isWebSocket = (request: IncomingMessage): boolean =>
  request.method === 'GET' &&
  request.httpVersion === '1.1' &&
  request.headers.upgrade?.toLowerCase() === 'websocket' &&
  request.headers['content-length'] === undefined &&
  request.headers['transfer-encoding'] === undefined

/**
 * Whether Node is to give up the connection of a request with an Upgrade, for us to have it or to give it back. With a body it would be
 * given up only in part, until the body is in, and nothing here needs it: no WebSocket begins with a body. Node before 24.9 does not
 * ask; it gives up all connections, at the end of the head.
 */
export const isUpgrade = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0'

/**
 * Sends an upgrade down the corridor like any request, so that it is authenticated, limited and refused with ordinary answers. Returns
 * the response that stands for it: it closes when the request is refused, or when its socket has become a tunnel.
 */
export function handUpgrade(
  app: FastifyInstance,
  request: IncomingMessage,
  socket: Socket,
  head: Buffer
): ServerResponse {
  const pending = new PendingUpgrade(socket, head)
  ;(request as Marked)[kUpgrade] = pending
  markUpgrade(request)
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  // The server has let go of the socket, and told the response so far that there is room again.
  const onDrain = (): void => void response.emit('drain')
  socket.on('drain', onDrain)
  response.once('close', () => socket.off('drain', onDrain))
  response.once('finish', () => {
    response.detachSocket(socket)
    response.emit('close')
    socket.end()
    // A close with unread bytes would reset the connection, and the refusal with it.
    pending.release()
    socket.resume()
    setTimeout(() => socket.destroy(), lingering).unref()
  })
  socket.on('error', () => {})
  app.routing(request, response)
  return response
}

/** Gives a request with another Upgrade back to the server, as the HTTP/1.1 request that it also is. */
export function ignoreUpgrade(server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void {
  let text = `${request.method} ${request.url} HTTP/${request.httpVersion}\r\n`
  const { rawHeaders } = request
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!
    let value = rawHeaders[index + 1]!
    const key = name.toLowerCase()
    if (key === 'upgrade' || key === 'http2-settings') continue
    if (key === 'connection') value = withoutUpgrade(value)
    if (key !== 'connection' || value !== '') text += `${name}: ${value}\r\n`
  }
  if (head.length > 0) socket.unshift(head)
  socket.unshift(Buffer.from(`${text}\r\n`, 'latin1'))
  server.emit('connection', socket)
}

const withoutUpgrade = (connection: string): string =>
  connection
    .split(',')
    .map((token) => token.trim())
    .filter((token) => !/^(?:upgrade|http2-settings)?$/i.test(token))
    .join(', ')
