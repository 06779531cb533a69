import { type Authority, parseAuthority } from '../../plugins/authority.ts'

/** A request-target (RFC 9112 3.2), taken apart. */
export interface Target extends Authority {
  readonly path: string
  /** With its `?`; '' without one. */
  readonly query: string
}

/** Most Host headers that are remembered. */
const maxRemembered = 1000

/** Reads Host headers, of which clients send few different ones. */
export class Authorities {
  readonly #read = new Map<string, Authority>()

  of(header: string): Authority | undefined {
    const known = this.#read.get(header)
    if (known !== undefined) return known
    const authority = parseAuthority(header)
    if (authority === undefined) return undefined
    if (this.#read.size >= maxRemembered) this.#read.clear()
    this.#read.set(header, authority)
    return authority
  }
}

/** Reads the target and the Host header together; a string is the reason to refuse them. */
export function parseTarget(
  target: string,
  hostHeader: string | undefined,
  authorities: Pick<Authorities, 'of'> = { of: parseAuthority }
): Target | string {
  const host = hostHeader === undefined ? nameless : authorities.of(hostHeader)
  if (host === undefined) return 'its Host header is malformed'
  if (target.charCodeAt(0) === 0x2f) return split(target, host)
  const absolute = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(target)
  if (absolute === null) return 'its target is neither a path nor an http URL'
  const [, scheme = '', authority = '', rest = ''] = absolute
  const named = parseAuthority(authority)
  if (named === undefined) return 'the authority of its target is malformed'
  if (hostHeader !== undefined && withPort(named, scheme) !== withPort(host, scheme)) {
    return 'its target and its Host header name different hosts'
  }
  return split(rest.startsWith('/') ? rest : `/${rest}`, named)
}

const nameless: Authority = { authority: '', host: '' }

function split(target: string, { authority, host }: Authority): Target | string {
  const mark = target.indexOf('?')
  if (mark < 0) return { authority, host, path: target, query: '' }
  const query = target.slice(mark)
  // A fragment, a control character or a raw non-ASCII byte would be read differently by the next hop.
  if (!/^[\x21\x22\x24-\x7e]*$/.test(query)) return 'its query holds a character that has to be escaped'
  return { authority, host, path: target.slice(0, mark), query }
}

function withPort({ authority, host }: Authority, scheme: string): string {
  const port = /:([0-9]+)$/.exec(authority)?.[1]
  return `${host}:${port === undefined ? (scheme.toLowerCase() === 'https' ? 443 : 80) : Number(port)}`
}
