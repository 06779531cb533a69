export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** What a store URL says, whichever of its three shapes it has. */
export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  readonly endpoints: readonly Endpoint[]
  /** Name of the master, asked of the Sentinels. */
  readonly master: string | undefined
  readonly db: number
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: boolean
  /** The endpoints without credentials: what a log or a message may show. */
  readonly shown: string
}

const kinds = { '': 'single', '+sentinel': 'sentinel', '+cluster': 'cluster' } as const
const shape =
  /^(redis|rediss)(\+sentinel|\+cluster)?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/@?#]+)(?:\/([^?#]*))?$/

/** The shapes a store URL may have, as a pattern for the schema. */
export const redisUrlPattern = '^rediss?(\\+sentinel|\\+cluster)?://[^/?#\\s]+(/[^?#\\s]*)?$'

/**
 * Reads `redis://user:password@host:port/db`, `redis+sentinel://host:port,host:port/master/db` or
 * `redis+cluster://host:port,host:port`; `rediss` for TLS. Undefined when it is none of these.
 *
 * By hand, because `URL` takes no list of hosts.
 */
export function parseRedisUrl(url: string): RedisAddress | undefined {
  const match = shape.exec(url)
  if (match === null) return undefined
  const [, scheme, suffix = '', username, password, hosts = '', path = ''] = match
  const kind = kinds[suffix as keyof typeof kinds]
  const endpoints = hosts.split(',').map((host) => readEndpoint(host, kind === 'sentinel' ? 26379 : 6379))
  if (endpoints.includes(undefined) || (kind === 'single' && endpoints.length > 1)) return undefined
  const parts = path.split('/').filter((part) => part !== '')
  const master = kind === 'sentinel' ? parts.shift() : undefined
  const [db = '0', ...rest] = parts
  if (!/^\d{1,4}$/.test(db) || rest.length > 0) return undefined
  if (kind === 'sentinel' && master === undefined) return undefined
  // A cluster has one database only.
  if (kind === 'cluster' && db !== '0') return undefined
  try {
    return {
      kind,
      endpoints: endpoints as Endpoint[],
      master: master && decodeURIComponent(master),
      db: Number(db),
      username: username ? decodeURIComponent(username) : undefined,
      password: password ? decodeURIComponent(password) : undefined,
      tls: scheme === 'rediss',
      shown: (endpoints as Endpoint[]).map(({ host, port }) => `${host}:${port}`).join(', ')
    }
  } catch {
    // A broken percent-encoding.
    return undefined
  }
}

function readEndpoint(text: string, defaultPort: number): Endpoint | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/.exec(text)
  if (match === null) return undefined
  const port = match[2] === undefined ? defaultPort : Number(match[2])
  if (port < 1 || port > 65535) return undefined
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port }
}
