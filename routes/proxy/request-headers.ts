import type { IncomingMessage } from 'node:http'
import type { Exchange, Principal } from '../../plugins/plugin.ts'
import { flat } from '../../services/flat.ts'
import { withoutOwnCookies } from '../../services/identity/cookies/names.ts'
import { forwardedLines } from './forwarded.ts'
import { type HeaderClass, HeaderClasses } from './header-class.ts'

/** Names of the headers that tell a service who is asking. */
export interface IdentityHeaders {
  readonly user: string
  readonly session: string
  readonly scopes: string
}

/** What the config says about headers, beside who asks. */
export interface Hidden {
  /** Headers that routes look for. */
  readonly conditions?: readonly string[]
  /** Headers that no service gets to see. */
  readonly kept?: readonly string[]
  /** Whether the gateway sets cookies of its own, which no service gets to see either. */
  readonly hidesCookies?: boolean
}

/** What the route decides about a request's headers. */
export interface HeaderRules {
  readonly forwardAuthorization: boolean
  /** Whether routes to this service tell methods apart, so that no header may change the method behind them. */
  readonly keepsMethod: boolean
  /** Part of the path that the route takes off; '' for none. */
  readonly prefix: string
  /** Writes the assertion of who is asking; undefined where the service gets none. */
  readonly assertion: Assertion | undefined
}

export interface Assertion {
  readonly header: string
  of(principal: Principal): string
}

/** Writes the headers a service sees: the client's without what is not theirs to say, then the gateway's own. */
export class RequestHeaders {
  readonly #names: IdentityHeaders
  readonly #classes: HeaderClasses

  constructor(names: IdentityHeaders, { conditions = [], kept = [], hidesCookies = false }: Hidden = {}) {
    this.#names = names
    this.#classes = new HeaderClasses([...Object.values(names), ...kept], conditions, hidesCookies)
  }

  /** Header lines, each with its CRLF, without Host and framing; names as the client spelled them. */
  write(raw: IncomingMessage, exchange: Exchange, requestId: string, rules: HeaderRules): string {
    let lines = ''
    const { rawHeaders } = raw
    const { connection } = raw.headers
    const named = connection === undefined ? undefined : namedByConnection(connection)
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const name = rawHeaders[index]!
      if (named?.has(name.toLowerCase())) continue
      const kind = this.#classes.of(name)
      if (kind === 'forward') lines += `${name}: ${rawHeaders[index + 1]}\r\n`
      else if (kind !== 'drop') lines += special(kind, name, rawHeaders[index + 1]!, raw, exchange, rules)
    }
    lines += forwardedLines(raw, exchange, rules.prefix)
    lines += `X-Request-Id: ${requestId}\r\nTraceparent: ${exchange.traceparent}\r\n`
    const { principal } = exchange
    if (principal === undefined) return lines
    lines += this.#linesOf(principal)
    const { assertion } = rules
    return assertion === undefined ? lines : `${lines}${assertion.header}: ${assertion.of(principal)}\r\n`
  }

  #linesOf(principal: Principal): string {
    const { notes } = principal
    if (notes === undefined) return this.#write(principal)
    if (notes.linesBy !== this.#names) {
      notes.lines = flat(this.#write(principal))
      notes.linesBy = this.#names
    }
    return notes.lines
  }

  #write(principal: Principal): string {
    const { user, session, scopes } = this.#names
    let identity = `${user}: ${encode(principal.subject)}\r\n`
    if (principal.session !== undefined) identity += `${session}: ${encode(principal.session)}\r\n`
    if (principal.scopes.length > 0) identity += `${scopes}: ${encode(principal.scopes.join(' '))}\r\n`
    return identity
  }
}

/** The line of a header that is sent on only under a condition, or changed; '' when it is not. */
function special(
  kind: HeaderClass,
  name: string,
  value: string,
  raw: IncomingMessage,
  { traceparent }: Exchange,
  { forwardAuthorization, keepsMethod }: HeaderRules
): string {
  switch (kind) {
    case 'te':
      return /(?:^|,)\s*trailers\s*(?:,|$)/i.test(value) ? 'TE: trailers\r\n' : ''
    case 'cookie': {
      const others = withoutOwnCookies(value)
      return others === '' ? '' : `${name}: ${others}\r\n`
    }
    case 'authorization':
      return forwardAuthorization ? `${name}: ${value}\r\n` : ''
    case 'method':
      return keepsMethod ? '' : `${name}: ${value}\r\n`
    case 'tracestate':
      // It belongs to the client's trace; beside a new one it would be somebody else's.
      return isSameTrace(raw.headers.traceparent, traceparent) ? `${name}: ${value}\r\n` : ''
    default:
      return ''
  }
}

/** Whether a well-formed traceparent goes on what the client's began: its version and trace id, whichever span. */
const isSameTrace = (given: unknown, traceparent: string): boolean =>
  typeof given === 'string' && given.length >= 55 && traceparent.startsWith(given.slice(0, 36))

/** Header names that a Connection header makes hop-by-hop (RFC 9110 7.6.1), in lower case. */
export function namedByConnection(connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined) return undefined
  const lower = connection.toLowerCase()
  if (lower === 'keep-alive' || lower === 'close') return undefined
  return new Set(lower.split(',').map((name) => name.trim()))
}

/**
 * A header value holds printable ASCII only; everything else, and `%`, is percent-encoded as UTF-8. So are spaces at its ends, which
 * every reader takes off: "root " must not become "root".
 */
const encode = (value: string): string =>
  Buffer.from(value)
    .toString()
    .replace(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent)
    .replace(/^ +| +$/g, (spaces) => '%20'.repeat(spaces.length))
