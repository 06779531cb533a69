import { randomBytes } from 'node:crypto'
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { BadRequest, HeadersTooLarge, NotImplemented, type Problem, RequestTimeout } from '../errors.ts'
import { renderProblem } from '../plugins/problem.ts'
import { isCondemned } from './table/framing.ts'

export interface WireOptions {
  /** Prefix of problem types; asked each time, since a reload may change it. */
  readonly problemBase: () => string
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void
  /** Without it an Upgrade is an offer that nobody heard. */
  readonly onUpgrade?: (request: IncomingMessage, socket: Socket, head: Buffer) => void
  /** Told of every request that was refused before it was one. */
  readonly onRefused?: (problem: Problem) => void
}

/** How long a client may go on sending after its refusal, so that it gets to read it. */
const lingering = 500

/** Gives the server an answer for everything that Node's parser refuses, or that is no request to an origin server. */
export function guardWire(
  server: Server,
  { problemBase, onRequest, onUpgrade, onRefused }: WireOptions
): void {
  /** Responses that are not over, in the order of their requests. */
  const open = new WeakMap<Socket, Set<ServerResponse>>()
  const refused = new WeakSet<Socket>()
  // The size of the head is bounded; dropping headers by their number, silently, is not a bound but a lie.
  server.maxHeadersCount = 0

  const refuse = (socket: Socket, problem: Problem): void => {
    refused.add(socket)
    onRefused?.(problem)
    socket.removeAllListeners('data')
    socket.end(render(problem, problemBase()), 'latin1')
    // A close with unread bytes would reset the connection, and the answer with it.
    socket.resume()
    setTimeout(() => socket.destroy(), lingering).unref()
  }

  server.on('request', (request, response) => {
    if (isCondemned(request.socket)) return
    const responses = open.get(request.socket) ?? follow(open, request.socket)
    responses.add(response)
    response.once('close', () => responses.delete(response))
    if (request.url === '*' && request.method === 'OPTIONS') answerForTheServer(response)
    else onRequest(request, response)
  })
  server.on('checkContinue', (request, response) => {
    askForBody(request, response)
    server.emit('request', request, response)
  })
  // Refused in the corridor like everything else that is wrong with a request.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
  server.on('connect', (_request, socket) =>
    refuse(socket as Socket, NotImplemented(['the method CONNECT'], { reason: 'method_connect' }))
  )
  if (onUpgrade !== undefined) {
    server.on('upgrade', (request, duplex, head) => {
      const socket = duplex as Socket
      afterAnswers(socket, open.get(socket), () => onUpgrade(request, socket, head))
    })
  }
  server.on('clientError', (error: NodeJS.ErrnoException, duplex) => {
    const socket = duplex as Socket
    if (refused.has(socket)) return
    const problem = problemOf(error)
    if (problem === undefined || !socket.writable || socket.bytesRead === 0) {
      socket.destroy()
      return
    }
    const response = [...(open.get(socket) ?? [])].at(-1)
    if (response === undefined) refuse(socket, problem)
    else if (response.req.complete) {
      // The answers to the requests before it come first (RFC 9112 9.3.2).
      refused.add(socket)
      response.once('finish', () => setImmediate(() => refuse(socket, problem)))
    } else if (response.headersSent) socket.destroy()
    else refuse(socket, problem)
  })
}

/**
 * Node says nothing to a pipelined response that waits for its turn when the connection ends; whoever counts requests would
 * count it for ever.
 */
function follow(open: WeakMap<Socket, Set<ServerResponse>>, socket: Socket): Set<ServerResponse> {
  const responses = new Set<ServerResponse>()
  open.set(socket, responses)
  socket.once('close', () =>
    setImmediate(() => {
      for (const response of responses) {
        response.destroyed = true
        response.emit('close')
      }
    })
  )
  return responses
}

/**
 * Calls back when the answers to the requests before are out, now or later; never when the connection ends with them. The server has let go of
 * the socket, and would tell none of them when it can take more.
 */
function afterAnswers(socket: Socket, responses: Set<ServerResponse> | undefined, then: () => void): void {
  const last = [...(responses ?? [])].at(-1)
  if (last === undefined) {
    then()
    return
  }
  const onDrain = (): void => {
    for (const response of responses ?? []) response.emit('drain')
  }
  // A socket without this listener takes the process down.
  socket.on('error', () => {})
  socket.on('drain', onDrain)
  last.once('close', () => {
    socket.off('drain', onDrain)
    if (socket.writable) then()
  })
}

function problemOf({ code }: NodeJS.ErrnoException): Problem | undefined {
  if (code === 'HPE_HEADER_OVERFLOW') return HeadersTooLarge([], { reason: 'head_size' })
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return RequestTimeout([], { reason: 'request_timeout' })
  if (code?.startsWith('HPE_') === true) {
    return BadRequest(['The request is not well-formed HTTP/1.1.'], { reason: code.toLowerCase() })
  }
  return undefined
}

function render(problem: Problem, base: string): string {
  const requestId = randomBytes(9).toString('base64url')
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

/** `OPTIONS *` asks the server, not a resource (RFC 9110 9.3.7). */
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
