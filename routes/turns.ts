import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

const kLine = Symbol('line')

type Lined = Socket & { [kLine]?: Line }

/**
 * Keeps requests on one connection apart: each is begun when the answer before it is out, so that what it changes or sees comes after
 * what the ones before it did (RFC 9112 9.3.2), and nothing is begun behind an answer that ends the connection (9.6).
 */
export class Turns {
  /** Each knows its place, and leaves without a search when its connection closes. */
  readonly #lines: Line[] = []

  /** Puts a request in its connection's line; the answer before it when that is not out yet, so that it has to `wait`. */
  enter(response: ServerResponse): ServerResponse | undefined {
    const socket = response.req.socket as Lined
    const line = socket[kLine] ?? this.#newLine(socket)
    const { last } = line
    line.add(response)
    return last === undefined || last.closed ? undefined : last
  }

  /** Calls `begin` at this request's turn, which may be never. */
  wait(response: ServerResponse, last: ServerResponse, begin: () => void): void {
    const { socket } = response.req
    last.once('close', () => {
      if (socket.writable && !response.destroyed) begin()
    })
  }

  /** Answers that are not out yet. */
  *underWay(): Iterable<ServerResponse> {
    for (const line of this.#lines) yield* line.open
  }

  /** The answer that a mistake in what arrives now is about, or comes after. */
  last(socket: Socket): ServerResponse | undefined {
    return (socket as Lined)[kLine]?.last
  }

  /** Whether the client could send more of a body that somebody is reading, to a request that has no answer yet or has all of it. */
  awaitsBody(socket: Socket): boolean {
    const last = (socket as Lined)[kLine]?.last
    if (last === undefined) return false
    const { complete, readableFlowing } = last.req
    // What is not read is held up by us, or was not asked for.
    return !complete && readableFlowing === true && (!last.headersSent || last.writableEnded)
  }

  /** The answer that is being sent. */
  current(socket: Socket): ServerResponse | undefined {
    return (socket as Lined)[kLine]?.open[0]
  }

  /** Calls `then` once all answers are out, if the connection is still good. Node's server may have let go of the socket. */
  afterAll(socket: Socket, then: () => void): void {
    // Without a listener, a client that resets its connection would end the process.
    if (!socket.listeners('error').includes(ignore)) socket.on('error', ignore)
    const line = (socket as Lined)[kLine]
    const last = line?.last
    if (last === undefined || last.closed) {
      then()
      return
    }
    const onDrain = () => line?.drain()
    socket.on('drain', onDrain)
    last.once('close', () => {
      socket.off('drain', onDrain)
      if (socket.writable) then()
    })
  }

  #newLine(socket: Lined): Line {
    const line = new Line(socket, this.#lines.length)
    socket[kLine] = line
    this.#lines.push(line)
    socket.on('close', () => {
      const last = this.#lines.pop()!
      if (last === line) return
      last.at = line.at
      this.#lines[line.at] = last
    })
    return line
  }
}

const ignore = (): void => {}

/** How many requests of one connection may wait; it is not read any further then. */
const longest = 64

/** Answers of one connection that are not out or whose request is not in, in the order of their requests. */
class Line {
  readonly #socket: Socket
  readonly open: ServerResponse[] = []
  last: ServerResponse | undefined
  at: number
  #isHeld = false

  constructor(socket: Socket, at: number) {
    this.#socket = socket
    this.at = at
  }

  add(response: ServerResponse): void {
    if (this.last?.closed === true) this.#remove(this.last)
    this.last = response
    this.open.push(response)
    response.on('close', leaveLine)
    if (this.open.length >= longest) this.#hold()
  }

  leave(response: ServerResponse): void {
    if (!response.req.complete) return
    this.#remove(response)
    if (this.last === response) this.last = undefined
    if (this.#isHeld && this.open.length < longest / 2) this.#release()
  }

  #remove(response: ServerResponse): void {
    const at = this.open.indexOf(response)
    // Mostly it is the only one.
    if (at === this.open.length - 1) this.open.pop()
    else if (at >= 0) this.open.splice(at, 1)
  }

  drain(): void {
    for (const response of this.open) if (response.socket === this.#socket) response.emit('drain')
  }

  #hold(): void {
    if (this.#isHeld) return
    this.#isHeld = true
    // Node resumes the socket for each request whose body is read.
    this.#socket.on('resume', this.#pause).pause()
  }

  #release(): void {
    this.#isHeld = false
    this.#socket.off('resume', this.#pause).resume()
  }

  readonly #pause = (): void => {
    this.#socket.pause()
  }
}

function leaveLine(this: ServerResponse): void {
  ;(this.req.socket as Lined)[kLine]?.leave(this)
}

/** Calls `then` when it is this answer's turn on its connection. */
export function inTurn(response: ServerResponse, then: () => void): void {
  if (response.socket !== null) then()
  else response.once('socket', then)
}

/** Tells everybody who works for this answer that it will not be sent, and leaves its connection alone. */
export function abandon(response: ServerResponse): void {
  if (response.socket !== null) response.detachSocket(response.socket)
  response.destroyed = true
  response.emit('close')
}
