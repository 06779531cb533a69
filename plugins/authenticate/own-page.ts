import type { FastifyRequest } from 'fastify'
import { Forbidden, type Problem } from '../../errors.ts'
import { publicOrigin } from '../public-origin.ts'

/** RFC 9110 9.2.1: what a link or an image may ask for; it changes nothing. */
const safe: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** By which a page shows that it could read an answer of ours. */
const tokenHeader = 'x-csrf-token'

/**
 * Tells requests that a page of ours sends from those that another page has the browser send: cookies go along with both. What the
 * browser itself says comes first, since no page can change it.
 */
export class OwnPage {
  readonly #origins: ReadonlySet<string>

  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins)
  }

  /** Undefined when the request is one of ours, else the token that has to prove it. Throws when there is none. */
  doubt(request: FastifyRequest): string | undefined {
    const { method, headers } = request.raw
    // A handshake is a GET, but who may open a socket may say everything.
    if (safe.has(method!) && headers.upgrade === undefined) return undefined
    const site = headers['sec-fetch-site']
    if (site === 'same-origin' || site === 'none') return undefined
    const origin = originOf(request)
    // Who names no host has no origin either, and an empty one is not the own one.
    if (origin && (this.#origins.has(origin) || origin === ownOrigin(request))) return undefined
    const token = headers[tokenHeader]
    if (typeof token !== 'string') throw foreign()
    return token
  }
}

/** What a request is told that comes with our cookie and perhaps from somebody else's page. */
export const foreign = (): Problem =>
  Forbidden(
    [
      `A cookie does not show that a page of yours sent this; send it from the gateway's own origin or one of "auth.cookie.origins", or with the header "${tokenHeader}".`
    ],
    { reason: 'csrf' }
  )

/** The Origin header, or the origin of the Referer where a browser sends no Origin. */
function originOf({ raw: { headers } }: FastifyRequest): string | undefined {
  const { origin, referer = '' } = headers
  return origin ?? (URL.canParse(referer) ? new URL(referer).origin : undefined)
}

/** As a browser writes it: a WebSocket's page is http, and a port that goes without saying is not said. */
const ownOrigin = ({ raw, exchange }: FastifyRequest): string =>
  publicOrigin(raw, exchange)
    .toLowerCase()
    .replace(/^ws/, 'http')
    .replace(/^(http:.*):80$|^(https:.*):443$/, '$1$2')
