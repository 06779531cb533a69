import type { AnswerEvents } from './answer-events.ts'
import { AnswerHead, BrokenAnswer } from './answer-head.ts'
import { Chunks, isLineEnd, maxSizeLine } from './chunks.ts'
import { Remainder } from './remainder.ts'

/** Largest head, and largest sum of trailers. */
const maxHead = 64 * 1024
const maxInterim = 32
const maxTrailers = 128
/** Bodies up to this size are handed on along with the head when they came with it. */
const maxWhole = 8192

const carriageReturn = 13

type State = 'idle' | 'status' | 'fields' | 'length' | 'close' | 'size' | 'data' | 'data-end' | 'trailers'

/**
 * Reads HTTP/1.1 answers (RFC 9112) and fails closed: whatever two readers could frame differently ends the connection. It is the
 * gateway's protection against an upstream, or somebody behind it, that smuggles a second answer into the first.
 */
export class AnswerParser {
  /** What is known of the answer since its head was read; valid until the next `begin`. */
  readonly head = new AnswerHead()
  /** Whether the connection may be used again after this answer, as far as is known: read it at the answer's end. */
  isReusable = false
  readonly #events: AnswerEvents
  #state: State = 'idle'
  #method = 'GET'
  #isUpgrade = false
  readonly #remainder = new Remainder()
  readonly #chunks = new Chunks()
  #left = 0
  /** Bytes that the head, the trailers or a line may still have. */
  #budget = 0
  #interim = 0
  #trailers: AnswerHead | undefined
  /** Whether the input belongs to somebody else, who will read into it again. */
  #isShared = false
  /** Whether the read filled it: what is behind an answer's end has to be known before the next answer may begin. */
  #isFull = false
  /** The part of the input that a head may be in, as latin1, from `#base` on. */
  #text = ''
  #base = -1

  constructor(events: AnswerEvents) {
    this.#events = events
  }

  /** Expects the answer to a request with this method, which asked for another protocol or did not. */
  begin(method: string, isUpgrade = false): void {
    this.#method = method
    this.#isUpgrade = isUpgrade
    this.#state = 'status'
    this.#budget = maxHead
    this.#interim = 0
  }

  /** True between the first byte of an answer and its end. */
  get isWithin(): boolean {
    return this.#state !== 'idle' && (this.#state !== 'status' || this.#remainder.size > 0)
  }

  /**
   * Takes what arrived. With a `size` the bytes are in a buffer of the caller's, who reads into it again afterwards: what is handed on is copied.
   * Throws BrokenAnswer; the connection is then beyond use.
   */
  execute(buffer: Buffer, size?: number): void {
    let input = buffer
    let end = size ?? buffer.length
    this.#isShared = size !== undefined
    this.#isFull = size === buffer.length
    const remainder = this.#remainder
    let mayStep = true
    if (remainder.size > 0) {
      remainder.add(buffer, 0, end)
      mayStep = remainder.hasLine()
      input = remainder.bytes
      end = remainder.size
      this.#isShared = true
    }
    let at = 0
    this.#base = -1
    while (at < end) {
      const next = mayStep ? this.#step(input, at, end) : this.#await(at, end)
      if (next === at) break
      at = next
    }
    this.#text = ''
    if (at < end) remainder.keep(input, at, end)
    else if (remainder.size > 0) remainder.clear()
  }

  /** The upstream closed its side. */
  finish(): void {
    if (this.#state === 'close') this.#end()
    else if (this.#state !== 'idle') {
      throw new BrokenAnswer(this.isWithin ? 'truncated' : 'closed_before_answer')
    }
  }

  /** Consumes from `at` on and says how far it came; `at` itself means that more is needed. */
  #step(input: Buffer, at: number, end: number): number {
    switch (this.#state) {
      case 'idle':
        // Some servers send the body of a GET along with the head that HEAD asked for: it is left unread, with the connection.
        if (at > 0 && !this.isReusable) return end
        throw new BrokenAnswer('unsolicited')
      case 'status':
      case 'fields':
        return this.#readHead(input, at, end)
      case 'length':
      case 'data': {
        const isAll = this.#state === 'length'
        const stop = Math.min(end, at + this.#left)
        this.#left -= stop - at
        // An excess byte is known before the last good one is handed on.
        if (isAll && this.#left === 0 && stop < end) throw new BrokenAnswer('excess')
        this.#body(input, at, stop)
        if (this.#left === 0 && isAll) this.#end()
        else if (this.#left === 0) this.#state = 'data-end'
        return stop
      }
      case 'close':
        this.#body(input, at, end)
        return end
      case 'size':
        return this.#readSize(input, at, end)
      case 'data-end':
        if (!isLineEnd(input, at, end, 'chunk_end')) return at
        this.#state = 'size'
        return at + 2
      case 'trailers':
        return this.#readTrailers(input, at, end)
    }
  }

  #await(at: number, end: number): number {
    if (end - at > this.#budget) throw new BrokenAnswer('line_too_large')
    return at
  }

  #body(input: Buffer, at: number, end: number): void {
    if (end === at) return
    if (!this.#isShared) {
      this.#events.onBody(at === 0 && end === input.length ? input : input.subarray(at, end))
      return
    }
    const chunk = Buffer.allocUnsafe(end - at)
    input.copy(chunk, 0, at, end)
    this.#events.onBody(chunk)
  }

  #whole(body: string): void {
    const { status, reason, headers } = this.head
    this.#close()
    this.#events.onWhole(status, reason, headers, body)
  }

  #end(): void {
    const trailers = this.#trailers?.headers ?? []
    this.#trailers = undefined
    this.#close()
    this.#events.onEnd(trailers)
  }

  #close(): void {
    this.#state = 'idle'
    if (this.#isFull) this.isReusable = false
  }

  /** Reads the lines of a head that are there. */
  #readHead(input: Buffer, at: number, end: number): number {
    const { head } = this
    if (this.#base < 0) this.#decode(input, at, end)
    let next = at
    if (this.#state === 'status') {
      next = head.readStatusLine(input, at, end, this.#text, this.#base)
      if (next === at) return this.#await(at, end)
      this.#state = 'fields'
    }
    next = head.readFields(input, next, end, this.#text, this.#base)
    this.#budget -= next - at
    if (this.#budget < 0) throw new BrokenAnswer('head_too_large')
    if (!head.isComplete) return this.#await(next, end)
    return head.status < 200 ? this.#passInterim(input, next, end) : this.#beginBody(input, next, end)
  }

  /** Decodes what is there at once, unless it is much more than a head. */
  #decode(input: Buffer, at: number, end: number): void {
    let stop = end
    if (end - at > 2 * maxWhole) {
      const found = input.indexOf('\r\n\r\n', at, 'latin1')
      if (found >= 0 && found < end) stop = found
    }
    this.#text = input.toString('latin1', at, stop)
    this.#base = at
  }

  #passInterim(input: Buffer, at: number, end: number): number {
    const { status, reason, headers, length, isChunked, isPersistent } = this.head
    if (status === 101 && this.#isUpgrade) {
      this.#state = 'idle'
      this.isReusable = false
      this.#events.onSwitch?.(reason, headers, Buffer.from(input.subarray(at, end)))
      return end
    }
    this.#interim += 1
    // Where no other protocol was asked for none is spoken, what has no body has no length, and what is not the end has to go on.
    const isOdd = status === 101 || length > 0 || isChunked || !isPersistent
    if (isOdd || this.#interim > maxInterim) {
      throw new BrokenAnswer('interim')
    }
    this.#state = 'status'
    this.#budget = maxHead
    if (this.#base + this.#text.length < end) this.#base = -1
    return at
  }

  /** RFC 9112 6.3. */
  #beginBody(input: Buffer, at: number, end: number): number {
    const { head } = this
    const available = end - at
    this.isReusable = head.isPersistent
    const isEmpty = head.status === 204 || head.status === 304
    if (isEmpty || this.#method === 'HEAD') {
      if (this.#method !== 'HEAD') {
        if (available > 0) throw new BrokenAnswer('excess')
        // RFC 9110 8.6; with 304 it is the length of what did not change.
        if (head.status === 204 && head.length > 0) throw new BrokenAnswer('content_length')
      }
      // A body may come all the same, of those who take HEAD for GET or 204 for 200, and must not meet the next request.
      const isDoubtful = isEmpty
        ? head.status === 204 && (head.isChunked || head.length > 0)
        : head.length !== 0
      if (isDoubtful || available > 0) this.isReusable = false
      this.#whole('')
      return at
    }
    if (head.length >= 0) {
      if (available > head.length) throw new BrokenAnswer('excess')
      if (available === head.length && available <= maxWhole) {
        this.#whole(this.#textOf(input, at, end))
        return end
      }
      this.#state = 'length'
      this.#left = head.length
    } else if (head.isChunked) {
      const body = available > 0 && available <= maxWhole ? this.#chunks.readAll(input, at, end) : undefined
      if (body !== undefined) {
        this.#whole(body)
        return end
      }
      this.#chunks.begin()
      this.#state = 'size'
    } else {
      this.isReusable = false
      this.#state = 'close'
    }
    this.#events.onHead(head.status, head.reason, head.headers)
    return at
  }

  #textOf(input: Buffer, at: number, end: number): string {
    if (at === end) return ''
    const from = at - this.#base
    const to = end - this.#base
    return to <= this.#text.length ? this.#text.slice(from, to) : input.toString('latin1', at, end)
  }

  #readSize(input: Buffer, at: number, end: number): number {
    const next = this.#chunks.read(input, at, end)
    this.#budget = maxSizeLine + 2
    if (next === at) return this.#await(at, end)
    this.#left = this.#chunks.size
    this.#state = this.#left === 0 ? 'trailers' : 'data'
    this.#budget = maxHead
    return next
  }

  #readTrailers(input: Buffer, at: number, end: number): number {
    let next = at
    if (this.#trailers === undefined && input[at] === carriageReturn) {
      if (!isLineEnd(input, at, end, 'header')) return at
      next = at + 2
    } else {
      this.#trailers ??= new AnswerHead()
      const trailers = this.#trailers
      next = trailers.readFields(input, at, end, input.toString('latin1', at, end), at)
      this.#budget -= next - at
      // Framing is the head's to say.
      if (trailers.length >= 0) throw new BrokenAnswer('content_length')
      if (this.#budget < 0 || trailers.headers.length > 2 * maxTrailers)
        throw new BrokenAnswer('head_too_large')
      if (!trailers.isComplete) return this.#await(next, end)
    }
    if (next < end) throw new BrokenAnswer('excess')
    this.#end()
    return next
  }
}
