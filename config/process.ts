import { Type } from '@sinclair/typebox'
import { Duration, Size } from './units.ts'

const address = (fallback: string, description: string) =>
  Type.String({
    default: fallback,
    description: `${description} host:port; port 0 takes a free one; IPv6 hosts in brackets.`,
    pattern:
      '^(\\[[0-9a-fA-F:.]+\\]|[^:\\s/]+):([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$',
    examples: [fallback]
  })

/** Where the gateway listens, and how long it waits for a client. Owned by gateway.ts. */
export const listen = {
  key: 'listen',
  slice: Type.Object(
    {
      public: address('0.0.0.0:8080', 'Where clients come in:'),
      admin: address('127.0.0.1:8082', 'Where health, metrics and the admin API are:'),
      timeouts: Type.Object(
        {
          head: Duration({
            default: '10s',
            description: 'A request head that is not complete by then gets 408.'
          }),
          body: Duration({
            default: '30s',
            description:
              'A request body that brings no byte for so long, while it is waited for, gets 408; 0s for no bound.'
          }),
          request: Duration({
            default: '5m',
            description: 'A request whose body is not complete by then is cut off; 0s for no bound.'
          }),
          send: Duration({
            default: '30s',
            description:
              'A client that takes nothing of what is ready for it for so long is cut off; 0s for no bound. Silence where nothing is ready, as on an event stream, does not count.'
          }),
          keepAlive: Duration({
            default: '65s',
            description: 'How long an idle connection is kept for the next request.'
          })
        },
        { additionalProperties: false, default: {}, description: 'How long the gateway waits for a client.' }
      ),
      maxHead: Size({
        default: '16KiB',
        description: 'Longest request line and headers together; more gets 431.'
      }),
      maxHeaders: Type.Integer({
        default: 100,
        minimum: 1,
        maximum: 100_000,
        description: 'Most headers of a request; more gets 431.'
      }),
      maxURL: Size({
        default: '8KiB',
        description: 'Longest request target, path and query together; more gets 414.'
      }),
      maxConnections: Type.Integer({
        default: 20_000,
        minimum: 1,
        maximum: 10_000_000,
        description:
          'Most connections of clients at once, at each listener of each process; one more is closed before it is read.'
      }),
      connectionsPerAddress: Type.Integer({
        default: 1000,
        minimum: 1,
        maximum: 10_000_000,
        description:
          'Most connections of one address (IPv6: its /64) at once, at each listener of each process; one more is closed before it is read. Peers in guard.trustedProxies have no such bound.'
      })
    },
    {
      additionalProperties: false,
      default: {},
      description: 'Listeners. Addresses change only by a restart.'
    }
  )
} as const

/** How many processes serve. Owned by bin/serve. */
export const workers = {
  key: 'workers',
  slice: Type.Union(
    [
      Type.Literal('auto', { description: 'One for each processor core that the gateway may use.' }),
      Type.Integer({ minimum: 1, maximum: 256, description: 'So many.' })
    ],
    {
      default: 1,
      description:
        'Processes that serve the listeners together, with the sessions, revocations, limits (but for the scope "local") and metrics of one. "auto": one for each processor core. Changes only by a restart.'
    }
  )
} as const

/** How the gateway leaves. */
export const shutdown = {
  key: 'shutdown',
  slice: Type.Object(
    {
      delay: Duration({
        default: '0s',
        description:
          'How long /readyz says 503 before the gateway stops accepting: time for load balancers to notice.'
      }),
      timeout: Duration({ default: '30s', description: 'How long requests under way may take to finish.' })
    },
    { additionalProperties: false, default: {}, description: 'What SIGTERM does.' }
  )
} as const

/** "host:port" in parts, brackets taken off. */
export function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(colon + 1)) }
}
