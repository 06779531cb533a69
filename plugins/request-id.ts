import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { holdsToken } from '../services/logs/tokens.ts'
import { definePlugin } from './plugin.ts'

/** Returns the request's id on every answer, so that a client can quote it and a log line can be found by it. */
export const requestId = definePlugin({
  key: 'requestId',

  setup(app) {
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-request-id', request.id)
      done()
    })
    return undefined
  }
})

const sane = /^[\x21-\x7e]{1,128}$/
const traceparent = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

const digits = Array.from({ length: 36 }, (_, digit) => digit.toString(36))

/** Takes the client's x-request-id when it is sane (1 to 128 printable characters, and no token by mistake), else makes one. */
export const makeRequestIds = (): ((request: IncomingMessage) => string) => {
  const process = randomBytes(6).toString('base64url')
  let count = 0
  let ids = ''
  return (request) => {
    const given = request.headers['x-request-id']
    if (typeof given === 'string' && sane.test(given) && !holdsToken(given)) return given
    const last = count % digits.length
    // As many at a time as have a digit to differ in, and are of one length: a part of one text is read faster than what was put together.
    if (last === 0) {
      const high = (count / digits.length).toString(36)
      ids = digits.map((digit) => `${process}-${high}${digit}`).join('')
    }
    count += 1
    const length = ids.length / digits.length
    return ids.slice(last * length, (last + 1) * length)
  }
}

const zero = 0x30
const noTrace = '0'.repeat(32)
const noSpan = '0'.repeat(16)

/**
 * Gives each request its traceparent: the client's when it is well formed (W3C Trace Context 3.2), else a new unsampled one, its random
 * digits drawn from the kernel for many requests at a time.
 */
export const makeTraceparents = (): ((request: IncomingMessage) => string) => {
  const size = 48
  let digits = ''
  let at = 0
  const draw = (): string => {
    if (at >= digits.length) {
      digits = randomBytes((size / 2) * 256).toString('hex')
      at = 0
    }
    const id = digits.slice(at, at + size)
    at += size
    return id
  }
  return (request) => {
    const given = request.headers.traceparent
    if (typeof given === 'string' && traceparent.test(given)) return given
    for (;;) {
      const id = draw()
      const trace = id.slice(0, 32)
      const span = id.slice(32)
      // All zeros would mean none; most do not even begin with one.
      if ((id.charCodeAt(0) !== zero || trace !== noTrace) && (id.charCodeAt(32) !== zero || span !== noSpan))
        return `00-${trace}-${span}-00`
    }
  }
}
