import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { AmbiguousRequest, ExpectationFailed, NotImplemented, type Problem } from '../../errors.ts'

/**
 * What Node's parser lets pass and a gateway may not: two parsers in a row have to agree on where a message ends and whom it is for
 * (RFC 9112 3.2 and 6.1). Undefined when the request is fine; every refusal ends the connection.
 */
export function framingRefusal(raw: IncomingMessage): Problem | undefined {
  const { rawHeaders } = raw
  let hosts = 0
  let lengths = 0
  let encoding: string | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!
    switch (name.length) {
      case 4:
        if (name.toLowerCase() === 'host') hosts += 1
        break
      case 14:
        if (name.toLowerCase() === 'content-length') lengths += 1
        break
      case 17:
        if (name.toLowerCase() !== 'transfer-encoding') break
        if (encoding !== undefined) return refuse('it has two Transfer-Encoding headers')
        encoding = rawHeaders[index + 1]!
        break
    }
  }
  if (hosts > 1) return refuse('it has two Host headers')
  if (lengths > 1) return refuse('it has two Content-Length headers')
  if (raw.httpVersionMajor === 0) return refuse('it is older than HTTP/1.0')
  if (raw.httpVersionMajor > 1) {
    return NotImplemented([`HTTP/${raw.httpVersion}`], { reason: 'http_version', headers: close })
  }
  if (hosts === 0 && raw.httpVersion !== '1.0') return refuse('it has no Host header')
  if (raw.method === 'TRACE')
    return NotImplemented(['the method TRACE'], { reason: 'method_trace', headers: close })
  const { expect } = raw.headers
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    return ExpectationFailed([], { reason: 'expectation', headers: close })
  }
  if (encoding === undefined) return undefined
  if (lengths > 0) return refuse('it has both Content-Length and Transfer-Encoding')
  if (raw.httpVersion === '1.0') return refuse('HTTP/1.0 has no Transfer-Encoding')
  if (encoding.toLowerCase() === 'chunked') return undefined
  return NotImplemented(['a Transfer-Encoding other than "chunked"'], {
    reason: 'transfer_encoding',
    headers: close
  })
}

const kCondemned = Symbol('condemned')
type Condemnable = Socket & { [kCondemned]?: true }

/** Marks a connection on which the end of a request is in doubt: whatever else was sent over it is not to be served. */
export function condemn(socket: Socket): void {
  ;(socket as Condemnable)[kCondemned] = true
}

export const isCondemned = (socket: Socket): boolean => (socket as Condemnable)[kCondemned] === true

const close = { connection: 'close' }

const refuse = (why: string): Problem => AmbiguousRequest([why], { reason: 'framing', headers: close })
