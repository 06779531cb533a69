import type { IncomingMessage } from 'node:http'
import { toBytes } from '../../config/units.ts'
import { type Problem, TooManyHeaders, URITooLong } from '../../errors.ts'

/** What `listen` says about the size of a request's head, beyond what the parser counts itself. */
export interface HeadBounds {
  readonly maxURL: string
  readonly maxHeaders: number
}

export type HeadRefusal = (raw: IncomingMessage) => Problem | undefined

/** Refuses heads that are out of bounds before anybody walks through them. Nobody has looked at the framing then, so the connection ends. */
export function headRefusalOf({ maxURL, maxHeaders }: HeadBounds): HeadRefusal {
  const longest = toBytes(maxURL)
  return ({ rawHeaders, url }) => {
    // Names and values in turn.
    if (rawHeaders.length > 2 * maxHeaders) {
      return TooManyHeaders([maxHeaders], { reason: 'header_count', headers: close })
    }
    if (url!.length > longest) return tooLong(maxURL)
    return undefined
  }
}

/** What a request target over the bound is answered with. */
export const tooLong = (maxURL: string): Problem =>
  URITooLong([maxURL], { reason: 'url_size', headers: close })

const close = { connection: 'close' }
