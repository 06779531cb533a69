import { randomBytes } from 'node:crypto'
import { type IncomingMessage, METHODS, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { toBytes } from '../config/units.ts'
import { BadRequest, HeadersTooLarge, NotImplemented, type Problem, RequestTimeout } from '../errors.ts'
import { parseAuthority } from '../plugins/authority.ts'
import { cutOff, refusePast } from '../plugins/corridor.ts'
import { renderProblem } from '../plugins/problem.ts'
import { type ConnectionBounds, type ConnectionRefusal, Connections } from './connections.ts'
import { type HeadBounds, tooLong } from './table/bounds.ts'
import { framingRefusal, isCondemned } from './table/framing.ts'
import { abandon, inTurn, Turns } from './turns.ts'

export interface WireOptions {
  /** Prefix of problem types; asked each time, since a reload may change it. */
  readonly problemBase: () => string
  readonly bounds: WireBounds
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void
  /** Without it an Upgrade is an offer that nobody takes. */
  readonly onUpgrade?: (request: IncomingMessage, socket: Socket, head: Buffer) => void
  /** Told of every request that was refused before it was one. */
  readonly onRefused?: (problem: Problem, requestId: string, peer: string) => void
  /** Told of every connection that was closed before it was read. */
  readonly onConnectionRefused?: (reason: ConnectionRefusal) => void
  /** Told of every connection that was cut off because nobody took what was sent over it. */
  readonly onSlowReader?: () => void
  /** Called about once a second. */
  readonly onSwept?: () => void
}

/** What is known of the clients of one listener. */
export interface Wire {
  readonly turns: Turns
  readonly connections: Connections
  /** Bounds of a reloaded config count from now on. */
  hold(bounds: WireBounds): void
}

/** What `listen` says about everything that a client may send or be slow at. */
export type WireBounds = ConnectionBounds & HeadBounds

/** Node's parser knows methods of RTSP as well. */
const methods: ReadonlySet<string> = new Set(METHODS)

/** How long a client may go on sending after its refusal, so that it gets to read it. */
const lingering = 500

/** Gives the server an answer for everything that Node's parser refuses, or that is no request to an origin server, and bounds its connections. */
export function guardWire(server: Server, options: WireOptions): Wire {
  const { problemBase, onRequest, onUpgrade, onRefused } = options
  const turns = new Turns()
  const refused = new WeakSet<Socket>()
  let { maxURL } = options.bounds
  // Too many headers are refused once they are read; dropping them, silently, is not a bound but a lie.
  server.maxHeadersCount = 0

  const refuse = (socket: Socket, problem: Problem, response?: ServerResponse): void => {
    refused.add(socket)
    const known = response && refusePast(response, problem)
    const requestId = known ?? randomBytes(9).toString('base64url')
    if (known === undefined) onRefused?.(problem, requestId, socket.remoteAddress ?? '')
    if (response !== undefined) abandon(response)
    hangUp(socket, render(problem, problemBase(), requestId))
  }

  /** Refuses what arrives on a connection now: the rest of a request, or what comes after all of them. */
  const refuseArriving = (socket: Socket, problem: Problem): void => {
    if (refused.has(socket)) return
    refused.add(socket)
    const response = turns.last(socket)
    if (response === undefined) refuse(socket, problem)
    else if (response.req.complete) {
      // The answers to the requests before it come first (RFC 9112 9.3.2).
      turns.afterAll(socket, () => refuse(socket, problem))
    } else if (!response.headersSent) {
      // A body that breaks off: whatever is done with it is not what the client asked for.
      inTurn(response, () => refuse(socket, problem, response))
      // Half of an answer to half of a request: the service still works for a client that has left or cannot be understood.
    } else if (!response.writableEnded) socket.destroy()
    // It has its answer, and no second one may follow.
    else turns.afterAll(socket, () => hangUp(socket))
  }

  const begin = (request: IncomingMessage, response: ServerResponse): void => {
    if (isCondemned(request.socket)) return
    if (!methods.has(request.method!)) {
      abandon(response)
      refuse(request.socket, NotImplemented(['this method'], { reason: 'method' }))
    } else if (asksTheServer(request)) answerForTheServer(response)
    else onRequest(request, response)
  }
  server.on('request', (request, response) => {
    const last = turns.enter(response)
    if (last === undefined) begin(request, response)
    else turns.wait(response, last, () => begin(request, response))
  })
  server.on('checkContinue', (request, response) => {
    askForBody(request, response)
    server.emit('request', request, response)
  })
  // Refused in the corridor like everything else that is wrong with a request.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
  server.on('connect', (_request, duplex) => {
    const socket = duplex as Socket
    turns.afterAll(socket, () =>
      refuse(socket, NotImplemented(['the method CONNECT'], { reason: 'method_connect' }))
    )
  })
  if (onUpgrade !== undefined) {
    server.on('upgrade', (request, duplex, head) => {
      const socket = duplex as Socket
      turns.afterAll(socket, () => onUpgrade(request, socket, head))
    })
  }
  server.on('clientError', (error: ClientError, duplex) => {
    const socket = duplex as Socket
    if (refused.has(socket)) return
    const problem = problemOf(error, maxURL)
    if (problem === undefined || !socket.writable || socket.bytesRead === 0) socket.destroy()
    else refuseArriving(socket, problem)
  })
  const connections = new Connections(server, turns, options.bounds, {
    onRefused: (reason) => options.onConnectionRefused?.(reason),
    onSlowBody: (socket) => refuseArriving(socket, RequestTimeout([], { reason: 'body_timeout' })),
    onSlowReader: (socket) => {
      const response = turns.current(socket)
      if (response !== undefined) cutOff(response, 'send_timeout')
      options.onSlowReader?.()
    },
    onSwept: () => options.onSwept?.()
  })
  const hold = (bounds: WireBounds): void => {
    ;({ maxURL } = bounds)
    connections.hold(bounds)
  }
  return { turns, connections, hold }
}

/** Ends a connection so that the client gets to read what was sent to it. */
function hangUp(socket: Socket, lastWords = ''): void {
  socket.removeAllListeners('data')
  socket.end(lastWords, 'latin1')
  // A close with unread bytes would reset the connection, and the answer with it.
  socket.resume()
  setTimeout(() => socket.destroy(), lingering).unref()
}

type ClientError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer }

function problemOf({ code, rawPacket }: ClientError, maxURL: string): Problem | undefined {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return isLongTarget(rawPacket, toBytes(maxURL))
      ? tooLong(maxURL)
      : HeadersTooLarge([], { reason: 'head_size' })
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return RequestTimeout([], { reason: 'request_timeout' })
  if (code?.startsWith('HPE_') === true) {
    return BadRequest(['The request is not well-formed HTTP/1.1.'], { reason: code.toLowerCase() })
  }
  return undefined
}

/** Whether it is the request line that is too long, as far as what came last shows. */
function isLongTarget(packet: Buffer | undefined, longest: number): boolean {
  const line = packet?.subarray(0, longest + 64).toString('latin1') ?? ''
  const [, target = ''] = /^[A-Z-]{1,30} (\S*)/.exec(line) ?? []
  return target.length > longest
}

function render(problem: Problem, base: string, requestId: string): string {
  const { status, body } = renderProblem(problem, { base, path: '/', requestId })
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    `Date: ${new Date().toUTCString()}`,
    'Connection: close',
    '',
    body
  ].join('\r\n')
}

/** `OPTIONS *` is about the server, not a resource (RFC 9110 9.3.7); a faulty one is refused like any other request. */
const asksTheServer = (request: IncomingMessage): boolean =>
  request.url === '*' &&
  request.method === 'OPTIONS' &&
  framingRefusal(request) === undefined &&
  (request.headers.host === undefined || parseAuthority(request.headers.host) !== undefined)

function answerForTheServer(response: ServerResponse): void {
  response.writeHead(204, { allow: 'DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT' }).end()
}

/**
 * Answers `Expect: 100-continue` when somebody starts to read the body, not before: a request that is refused is refused without its
 * body. Nobody knows then whether the body still comes, so the connection ends with the refusal.
 */
function askForBody(request: IncomingMessage, response: ServerResponse): void {
  const { shouldKeepAlive } = response
  response.shouldKeepAlive = false
  request.once('resume', () => {
    if (response.headersSent || response.writableEnded) return
    response.shouldKeepAlive = shouldKeepAlive
    response.writeContinue()
  })
}
