import { nameAt } from './field-names.ts'

/** The answer cannot be read without guessing where it ends; `reason` goes to the log. */
export class BrokenAnswer extends Error {
  readonly code: string
  constructor(code: string) {
    super(`broken answer: ${code}`)
    this.code = code
  }
}

/** Lower case of the bytes a token is made of (RFC 9110 5.6.2), zero for all others. */
const token = new Uint8Array(256)
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  token[char.charCodeAt(0)] = char.charCodeAt(0)
  token[char.toUpperCase().charCodeAt(0)] = char.charCodeAt(0)
}

/** One for the bytes a field's value may have: no control characters but the tab (RFC 9110 5.5). */
const content = new Uint8Array(256)
for (let byte = 0; byte < 256; byte += 1) content[byte] = byte === 9 || (byte >= 32 && byte !== 127) ? 1 : 0

const tab = 9
const lineFeed = 10
const carriageReturn = 13
const space = 32
const colon = 58
const zero = 48

/**
 * One status line and its fields, read from bytes line by line into the same object again and again, with what the fields say about
 * the message. Nothing here waits: what is not complete is read once more when more is there.
 */
export class AnswerHead {
  status = 0
  reason = ''
  /** Flat: name, value, name, value, as sent. The receiver may keep it. */
  headers: string[] = []
  /** Content-Length; -1 without one. */
  length = -1
  isChunked = false
  /** Whether the head lets the connection be used again. */
  isPersistent = false
  /** Seconds of `Keep-Alive: timeout`; -1 without one. */
  keepAlive = -1
  /** Set by `readFields` once the empty line was read. */
  isComplete = false
  #isHttp11 = false
  #isToClose = false
  /** Where the parts of the field read last are: there is no object for each. */
  #nameEnd = 0
  #valueAt = 0
  #valueEnd = 0

  /**
   * Reads the status line from `at` on and returns where the next line begins; `at` when more is needed. `text` is the input as
   * latin1, from `base` on. Throws BrokenAnswer.
   */
  readStatusLine(input: Buffer, at: number, end: number, text: string, base: number): number {
    const known = Math.min(end - at, version.length)
    for (let index = 0; index < known; index += 1) {
      if (input[at + index] !== version[index]) throw new BrokenAnswer('status_line')
    }
    // The shortest is `HTTP/1.1 200` and a line's end.
    if (end - at < 14) return at
    const minor = input[at + 7]! - zero
    const status = statusAt(input, at + 9)
    if (minor < 0 || minor > 1 || input[at + 8] !== space || status < 100) {
      throw new BrokenAnswer('status_line')
    }
    let stop = at + 12
    if (input[stop] === space) {
      stop += 1
      while (stop < end && content[input[stop]!] === 1) stop += 1
    }
    if (stop + 1 >= end) {
      if (stop < end && input[stop] !== carriageReturn) throw new BrokenAnswer('status_line')
      return at
    }
    if (input[stop] !== carriageReturn || input[stop + 1] !== lineFeed) throw new BrokenAnswer('status_line')
    this.status = status
    this.reason = stop > at + 13 ? text.slice(at + 13 - base, stop - base) : ''
    this.headers = []
    this.length = -1
    this.isChunked = false
    this.isPersistent = minor === 1
    this.keepAlive = -1
    this.#isHttp11 = minor === 1
    this.#isToClose = false
    return stop + 2
  }

  /**
   * Reads fields from `at` on, as many as are there and up to the empty line, and returns where it stopped: behind the empty line when
   * `isComplete`, else at the field that is not all there. Throws BrokenAnswer.
   */
  readFields(input: Buffer, at: number, end: number, text: string, base: number): number {
    this.isComplete = false
    const { headers } = this
    let next = at
    for (;;) {
      const start = next
      const first = start < end ? input[start]! : -1
      if (first === carriageReturn) {
        if (start + 1 === end) return start
        if (input[start + 1] !== lineFeed) throw new BrokenAnswer('header')
        if (this.isChunked && this.length >= 0) throw new BrokenAnswer('length_and_encoding')
        if (this.#isToClose) this.isPersistent = false
        this.isComplete = true
        return start + 2
      }
      next = this.#readField(input, start, end)
      if (next === start) return start
      const nameEnd = this.#nameEnd
      const valueAt = this.#valueAt
      const valueEnd = this.#valueEnd
      const name = nameAt(input, start, nameEnd - start, text, start - base)
      headers.push(name, text.slice(valueAt - base, valueEnd - base))
      this.#note(input, start, nameEnd - start, valueAt, valueEnd)
    }
  }

  /** Reads one field with its line's end: no folding, no space before the colon, no control characters (RFC 9112 5). */
  #readField(input: Buffer, at: number, end: number): number {
    let next = at
    while (next < end && token[input[next]!] !== 0) next += 1
    if (next === end) return at
    if (next === at || input[next] !== colon) throw new BrokenAnswer('header')
    this.#nameEnd = next
    next += 1
    while (next < end && (input[next] === space || input[next] === tab)) next += 1
    const valueAt = next
    while (next < end && content[input[next]!] === 1) next += 1
    if (next + 1 >= end) {
      if (next < end && input[next] !== carriageReturn) throw new BrokenAnswer('header')
      return at
    }
    if (input[next] !== carriageReturn || input[next + 1] !== lineFeed) throw new BrokenAnswer('header')
    let valueEnd = next
    while (valueEnd > valueAt && (input[valueEnd - 1] === space || input[valueEnd - 1] === tab)) valueEnd -= 1
    this.#valueAt = valueAt
    this.#valueEnd = valueEnd
    return next + 2
  }

  /** Notes what a field says about the message. It is told by its name's length first, so that most are told by that alone. */
  #note(input: Buffer, at: number, length: number, valueAt: number, valueEnd: number): void {
    if (length === 10) {
      if (isName(input, at, 'connection')) this.#noteConnection(input, valueAt, valueEnd)
      else if (isName(input, at, 'keep-alive')) this.#noteKeepAlive(input, valueAt, valueEnd)
    } else if (length === 14 && isName(input, at, 'content-length')) {
      if (this.length >= 0 || endsInTab(input, valueEnd)) throw new BrokenAnswer('content_length')
      this.length = lengthAt(input, valueAt, valueEnd)
    } else if (length === 17 && isName(input, at, 'transfer-encoding')) {
      const isKnown = !endsInTab(input, valueEnd) && isValue(input, valueAt, valueEnd, 'chunked')
      if (this.isChunked || !this.#isHttp11 || !isKnown) throw new BrokenAnswer('transfer_encoding')
      this.isChunked = true
    }
  }

  #noteConnection(input: Buffer, at: number, end: number): void {
    if (isValue(input, at, end, 'keep-alive')) this.isPersistent = true
    else if (isValue(input, at, end, 'close')) this.#isToClose = true
    else {
      for (const name of input.toString('latin1', at, end).toLowerCase().split(',')) {
        const option = name.trim()
        if (option === 'close') this.#isToClose = true
        else if (option === 'keep-alive') this.isPersistent = true
      }
    }
  }

  #noteKeepAlive(input: Buffer, at: number, end: number): void {
    const seconds = /(?:^|[,\s])timeout=([0-9]{1,5})/i.exec(input.toString('latin1', at, end))?.[1]
    if (seconds !== undefined) this.keepAlive = Number(seconds)
  }
}

const version = Buffer.from('HTTP/1.')

/** Whether the token at `at` is this name, which is in lower case; its length is known to be the same. */
function isName(input: Buffer, at: number, name: string): boolean {
  for (let index = 0; index < name.length; index += 1) {
    if (token[input[at + index]!] !== name.charCodeAt(index)) return false
  }
  return true
}

const isValue = (input: Buffer, at: number, end: number, value: string): boolean =>
  end - at === value.length && isName(input, at, value)

function statusAt(input: Buffer, at: number): number {
  let status = 0
  for (let index = at; index < at + 3; index += 1) {
    const digit = input[index]! - zero
    if (digit < 0 || digit > 9) return -1
    status = status * 10 + digit
  }
  return status
}

/** A tab behind a value is white space (RFC 9110 5.6.3), and still some readers take a field that says where a body ends for malformed. */
function endsInTab(input: Buffer, valueEnd: number): boolean {
  for (let at = valueEnd; input[at] !== carriageReturn; at += 1) if (input[at] === tab) return true
  return false
}

/** Digits and nothing else, few enough to be counted exactly. */
function lengthAt(input: Buffer, at: number, end: number): number {
  if (end === at || end - at > 15) throw new BrokenAnswer('content_length')
  let length = 0
  for (let index = at; index < end; index += 1) {
    const digit = input[index]! - zero
    if (digit < 0 || digit > 9) throw new BrokenAnswer('content_length')
    length = length * 10 + digit
  }
  return length
}
