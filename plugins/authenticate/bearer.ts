import type { IncomingMessage } from 'node:http'
import { AmbiguousRequest } from '../../errors.ts'

const scheme = /^bearer(?: |$)/i

/**
 * The token of `Authorization: Bearer`, the only place one is taken from: never the query, where logs and Referer would keep it.
 * Undefined without credentials of this scheme; two Authorization headers are refused, since it is open which one others read.
 */
export function bearerOf({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): string | undefined {
  let value: string | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (name.length !== 13 || name.toLowerCase() !== 'authorization') continue
    if (value !== undefined) {
      throw AmbiguousRequest(['it has two Authorization headers'], { reason: 'authorization_twice' })
    }
    value = rawHeaders[at + 1]!
  }
  return value !== undefined && scheme.test(value) ? value.slice(7) : undefined
}
