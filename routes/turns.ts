import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Keeps requests on one connection apart: each is begun when the answer before it is out, so that what it changes or sees comes after
 * what the ones before it did (RFC 9112 9.3.2), and nothing is begun behind an answer that ends the connection (9.6).
 */
export class Turns {
  readonly #lines = new WeakMap<Socket, Line>()

  /** Calls `begin` at this request's turn, which may be never. */
  enter(response: ServerResponse, begin: () => void): void {
    const { socket } = response.req
    let line = this.#lines.get(socket)
    if (line === undefined) {
      line = new Line(socket)
      this.#lines.set(socket, line)
    }
    const { last } = line
    line.add(response)
    if (last === undefined || last.closed) begin()
    else {
      last.once('close', () => {
        if (socket.writable && !response.destroyed) begin()
      })
    }
  }

  /** The answer that a mistake in what arrives now is about, or comes after. */
  last(socket: Socket): ServerResponse | undefined {
    return this.#lines.get(socket)?.last
  }

  /** Calls `then` once all answers are out, if the connection is still good. Node's server may have let go of the socket. */
  afterAll(socket: Socket, then: () => void): void {
    // Without a listener, a client that resets its connection would end the process.
    if (!socket.listeners('error').includes(ignore)) socket.on('error', ignore)
    const line = this.#lines.get(socket)
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
}

const ignore = (): void => {}

/** How many requests of one connection may wait; it is not read any further then. */
const longest = 64

/** Answers of one connection that are not out or whose request is not in, in the order of their requests. */
class Line {
  readonly #socket: Socket
  readonly #open = new Set<ServerResponse>()
  last: ServerResponse | undefined
  #isHeld = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  add(response: ServerResponse): void {
    if (this.last?.closed === true) this.#open.delete(this.last)
    this.last = response
    this.#open.add(response)
    response.once('close', () => {
      if (!response.req.complete) return
      this.#open.delete(response)
      if (this.last === response) this.last = undefined
      if (this.#isHeld && this.#open.size < longest / 2) this.#release()
    })
    if (this.#open.size >= longest) this.#hold()
  }

  drain(): void {
    for (const response of this.#open) if (response.socket === this.#socket) response.emit('drain')
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
