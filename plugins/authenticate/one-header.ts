import type { IncomingMessage } from 'node:http'
import { AmbiguousRequest } from '../../errors.ts'

export type Read = (raw: Pick<IncomingMessage, 'rawHeaders' | 'headers'>) => string | undefined

/** Reads a header that may be there once: of two it is open which one others read, so that request is refused. */
export function oneHeader(name: string, reason: string): Read {
  const lower = name.toLowerCase()
  const { length } = lower
  return ({ rawHeaders }) => {
    let value: string | undefined
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const sent = rawHeaders[at]!
      if (sent.length !== length || sent.toLowerCase() !== lower) continue
      if (value !== undefined) throw AmbiguousRequest([`it has two ${name} headers`], { reason })
      value = rawHeaders[at + 1]!
    }
    return value
  }
}
