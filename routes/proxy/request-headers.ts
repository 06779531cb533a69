import type { IncomingMessage } from 'node:http'
import type { Exchange, Principal } from '../../plugins/plugin.ts'
import { withoutOwnCookies } from '../../services/identity/cookies/names.ts'
import type { CompiledRoute } from '../table/route.ts'
import { pushForwarded } from './forwarded.ts'
import { HeaderClasses } from './header-class.ts'

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

/** The rules of a route that is planned. */
export const headerRules = ({
  route,
  keepsMethod,
  assertion
}: {
  readonly route: CompiledRoute
  readonly keepsMethod: boolean
  readonly assertion: Assertion | undefined
}): HeaderRules => ({
  forwardAuthorization: route.forwardAuthorization,
  keepsMethod,
  prefix: route.rewrite.prefix,
  assertion
})

/** Writes the headers a service sees: the client's without what is not theirs to say, then the gateway's own. */
export class RequestHeaders {
  readonly #names: IdentityHeaders
  readonly #classes: HeaderClasses
  readonly #identities = new WeakMap<Principal, readonly string[]>()

  constructor(names: IdentityHeaders, { conditions = [], kept = [], hidesCookies = false }: Hidden = {}) {
    this.#names = names
    this.#classes = new HeaderClasses([...Object.values(names), ...kept], conditions, hidesCookies)
  }

  /** Flat list without Host and framing, names as the client spelled them. */
  write(raw: IncomingMessage, exchange: Exchange, requestId: string, rules: HeaderRules): string[] {
    const headers: string[] = []
    const { rawHeaders } = raw
    const named = namedByConnection(raw.headers.connection)
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const name = rawHeaders[index]!
      if (named?.has(name.toLowerCase())) continue
      const value = rawHeaders[index + 1]!
      switch (this.#classes.of(name)) {
        case 'forward':
          headers.push(name, value)
          break
        case 'te':
          if (/(?:^|,)\s*trailers\s*(?:,|$)/i.test(value)) headers.push('TE', 'trailers')
          break
        case 'cookie': {
          const others = withoutOwnCookies(value)
          if (others !== '') headers.push(name, others)
          break
        }
        case 'authorization':
          if (rules.forwardAuthorization) headers.push(name, value)
          break
        case 'method':
          if (!rules.keepsMethod) headers.push(name, value)
          break
        case 'tracestate':
          // It belongs to the client's traceparent; beside a new one it would be somebody else's.
          if (raw.headers.traceparent === exchange.traceparent) headers.push(name, value)
          break
      }
    }
    pushForwarded(headers, raw, exchange, rules.prefix)
    headers.push('X-Request-Id', requestId, 'Traceparent', exchange.traceparent)
    const { principal } = exchange
    if (principal !== undefined) {
      const identity = this.#identities.get(principal) ?? this.#remember(principal)
      for (const item of identity) headers.push(item)
      const { assertion } = rules
      if (assertion !== undefined) headers.push(assertion.header, assertion.of(principal))
    }
    return headers
  }

  #remember(principal: Principal): readonly string[] {
    const { user, session, scopes } = this.#names
    const identity = [user, encode(principal.subject)]
    if (principal.session !== undefined) identity.push(session, encode(principal.session))
    if (principal.scopes.length > 0) identity.push(scopes, encode(principal.scopes.join(' ')))
    this.#identities.set(principal, identity)
    return identity
  }
}

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
