/** What a parser reports of one answer, in this order; a broken answer throws out of `execute` or `finish` instead. */
export interface AnswerEvents {
  /** `headers` is flat: name, value, name, value, as sent. */
  onHead(status: number, reason: string, headers: string[]): void
  onBody(chunk: Buffer): void
  /** Exactly at the framed end; `trailers` is flat. */
  onEnd(trailers: string[], isReusable: boolean): void
}

/** The answer cannot be read without guessing where it ends; `reason` goes to the log. */
export class BrokenAnswer extends Error {
  readonly code: string
  constructor(code: string) {
    super(`broken answer: ${code}`)
    this.code = code
  }
}

const maxHead = 64 * 1024
const maxInterim = 32

type State = 'idle' | 'head' | 'length' | 'close' | 'size' | 'data' | 'data-end' | 'trailers'

/**
 * Reads HTTP/1.1 answers (RFC 9112) and fails closed: whatever two readers could frame differently ends the connection. It is the
 * gateway's protection against an upstream, or somebody behind it, that smuggles a second answer into the first.
 */
export class AnswerParser {
  readonly #events: AnswerEvents
  #state: State = 'idle'
  #method = 'GET'
  #pending: Buffer | undefined
  #left = 0
  #isReusable = false
  #interim = 0
  #trailers: string[] = []

  constructor(events: AnswerEvents) {
    this.#events = events
  }

  /** Expects the answer to a request with this method. */
  begin(method: string): void {
    this.#method = method
    this.#state = 'head'
    this.#interim = 0
    this.#trailers = []
  }

  /** True between the first byte of an answer and its end. */
  get isWithin(): boolean {
    return this.#state !== 'idle' && (this.#state !== 'head' || this.#pending !== undefined)
  }

  /** Takes what arrived. Throws BrokenAnswer; the connection is then beyond use. */
  execute(chunk: Buffer): void {
    let input = chunk
    if (this.#pending !== undefined) {
      input = Buffer.concat([this.#pending, chunk])
      this.#pending = undefined
    }
    let at = 0
    while (at < input.length) {
      const next = this.#step(input, at)
      if (next === at) {
        this.#pending = at === 0 ? input : input.subarray(at)
        return
      }
      at = next
    }
  }

  /** The upstream closed its side. */
  finish(): void {
    if (this.#state === 'close') this.#end(false)
    else if (this.#state !== 'idle') {
      throw new BrokenAnswer(this.isWithin ? 'truncated' : 'closed_before_answer')
    }
  }

  /** Consumes from `at` on and says how far it came; `at` itself means that more is needed. */
  #step(input: Buffer, at: number): number {
    switch (this.#state) {
      case 'idle':
        throw new BrokenAnswer('unsolicited')
      case 'head':
        return this.#head(input, at)
      case 'length': {
        const end = Math.min(input.length, at + this.#left)
        this.#left -= end - at
        // An excess byte is known before the last good one is handed on.
        if (this.#left === 0 && end < input.length) throw new BrokenAnswer('excess')
        this.#body(input, at, end)
        if (this.#left === 0) this.#end(this.#isReusable)
        return end
      }
      case 'close':
        this.#body(input, at, input.length)
        return input.length
      case 'size':
        return this.#size(input, at)
      case 'data': {
        const end = Math.min(input.length, at + this.#left)
        this.#left -= end - at
        this.#body(input, at, end)
        if (this.#left === 0) this.#state = 'data-end'
        return end
      }
      case 'data-end':
        if (input.length - at < 2) {
          if (input[at] !== 0x0d) throw new BrokenAnswer('chunk_end')
          return at
        }
        if (input[at] !== 0x0d || input[at + 1] !== 0x0a) throw new BrokenAnswer('chunk_end')
        this.#state = 'size'
        return at + 2
      case 'trailers':
        return this.#trailer(input, at)
    }
  }

  #body(input: Buffer, at: number, end: number): void {
    if (end > at) this.#events.onBody(at === 0 && end === input.length ? input : input.subarray(at, end))
  }

  #end(isReusable: boolean): void {
    this.#state = 'idle'
    this.#events.onEnd(this.#trailers, isReusable)
  }

  #head(input: Buffer, at: number): number {
    const end = input.indexOf('\r\n\r\n', at, 'latin1')
    if (end < 0 || end - at > maxHead) {
      if (input.length - at > maxHead) throw new BrokenAnswer('head_too_large')
      // Who does not speak HTTP may never send an empty line: no need to wait for it.
      if (!isStatusLineSoFar(input, at)) throw new BrokenAnswer('status_line')
      if (hasBareLineFeed(input, at)) throw new BrokenAnswer('bare_lf')
      return at
    }
    const head = parseHead(input.toString('latin1', at, end))
    const bodyAt = end + 4
    if (head.status < 200) {
      this.#interim += 1
      // Nobody asked for another protocol here; upgrades take the tunnel.
      if (head.status === 101 || this.#interim > maxInterim) throw new BrokenAnswer('interim')
      return bodyAt
    }
    this.#enterBody(head, input.length - bodyAt)
    this.#events.onHead(head.status, head.reason, head.headers)
    if (this.#state === 'length' && this.#left === 0) this.#end(this.#isReusable)
    return bodyAt
  }

  /** RFC 9112 6.3. `available` bytes follow the head already. */
  #enterBody(head: Head, available: number): void {
    this.#isReusable = head.isPersistent
    const isBodiless = this.#method === 'HEAD' || head.status === 204 || head.status === 304
    if (isBodiless || head.length !== undefined) {
      this.#state = 'length'
      this.#left = isBodiless ? 0 : (head.length ?? 0)
      // Some servers send the body of a GET along with the head that HEAD asked for: it is left unread, with the connection.
      if (this.#method === 'HEAD' && available > 0) this.#isReusable = false
      else if (available > this.#left) throw new BrokenAnswer('excess')
    } else if (head.isChunked) this.#state = 'size'
    else this.#state = 'close'
  }

  #size(input: Buffer, at: number): number {
    const end = input.indexOf('\r\n', at, 'latin1')
    if (end < 0) {
      if (input.length - at > 4096) throw new BrokenAnswer('chunk_size')
      if (hasBareLineFeed(input, at)) throw new BrokenAnswer('bare_lf')
      return at
    }
    // Chunk extensions are read over (RFC 9112 7.1.1), never handed on.
    const match = /^([0-9A-Fa-f]{1,13})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/.exec(
      input.toString('latin1', at, end)
    )
    if (match === null) throw new BrokenAnswer('chunk_size')
    this.#left = Number.parseInt(match[1]!, 16)
    this.#state = this.#left === 0 ? 'trailers' : 'data'
    return end + 2
  }

  #trailer(input: Buffer, at: number): number {
    const end = input.indexOf('\r\n', at, 'latin1')
    if (end < 0) {
      if (input.length - at > maxHead) throw new BrokenAnswer('head_too_large')
      if (hasBareLineFeed(input, at)) throw new BrokenAnswer('bare_lf')
      return at
    }
    if (end === at) {
      if (end + 2 < input.length) throw new BrokenAnswer('excess')
      this.#end(this.#isReusable)
      return end + 2
    }
    parseField(input.toString('latin1', at, end), this.#trailers)
    if (this.#trailers.length > 256) throw new BrokenAnswer('head_too_large')
    return end + 2
  }
}

const version = Buffer.from('HTTP/1.')

function isStatusLineSoFar(input: Buffer, at: number): boolean {
  const length = Math.min(version.length, input.length - at)
  return input.compare(version, 0, length, at, at + length) === 0
}

function hasBareLineFeed(input: Buffer, at: number): boolean {
  for (let index = input.indexOf(0x0a, at); index >= 0; index = input.indexOf(0x0a, index + 1)) {
    if (index === at || input[index - 1] !== 0x0d) return true
  }
  return false
}

interface Head {
  readonly status: number
  readonly reason: string
  readonly headers: string[]
  readonly length: number | undefined
  readonly isChunked: boolean
  readonly isPersistent: boolean
}

const statusLine = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const value = /^[\t\x20-\x7e\x80-\xff]*$/

/** Reads a status line and its header fields, without the empty line. Throws BrokenAnswer. */
export function parseHead(text: string): Head {
  const lines = text.split('\r\n')
  const start = statusLine.exec(lines[0]!)
  if (start === null) throw new BrokenAnswer('status_line')
  const headers: string[] = []
  for (let index = 1; index < lines.length; index += 1) parseField(lines[index]!, headers)
  return { status: Number(start[2]), reason: start[3] ?? '', headers, ...framing(headers, start[1] === '1') }
}

/** No folding, no space before the colon, no control characters (RFC 9112 5). */
function parseField(line: string, into: string[]): void {
  const colon = line.indexOf(':')
  const name = line.slice(0, colon)
  const content = line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, '')
  if (colon < 1 || !token.test(name) || !value.test(content)) throw new BrokenAnswer('header')
  into.push(name, content)
}

function framing(headers: readonly string[], isHttp11: boolean) {
  let length: number | undefined
  let isChunked = false
  let isPersistent = isHttp11
  for (let index = 0; index < headers.length; index += 2) {
    const content = headers[index + 1]!
    switch (headers[index]!.toLowerCase()) {
      case 'content-length':
        if (length !== undefined || !/^[0-9]{1,15}$/.test(content)) throw new BrokenAnswer('content_length')
        length = Number(content)
        break
      case 'transfer-encoding':
        if (isChunked || !isHttp11 || content.toLowerCase() !== 'chunked') {
          throw new BrokenAnswer('transfer_encoding')
        }
        isChunked = true
        break
      case 'connection':
        if (/(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(content)) isPersistent = false
        else if (!isHttp11 && /(?:^|,)[\t ]*keep-alive[\t ]*(?:,|$)/i.test(content)) isPersistent = true
        break
    }
  }
  if (isChunked && length !== undefined) throw new BrokenAnswer('length_and_encoding')
  return { length, isChunked, isPersistent }
}
