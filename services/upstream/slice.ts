import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'
import { limitSchema } from '../limits/slice.ts'
import { fallbackSchema } from '../release/slice.ts'
import { runSlice } from '../runtime/slice.ts'
import { balanceSlice } from './balance-slice.ts'
import { breakerSlice, healthSlice } from './health-slice.ts'

const nodeURL = (description: string) =>
  Type.String({ description, pattern: '^https?://[^\\s?#@]+$', maxLength: 2000 })

const node = Type.Union(
  [
    nodeURL('Where a node is: http:// or https://, a host, a port, and a path to put in front if need be.'),
    Type.Object(
      {
        id: Type.Optional(
          Type.String({
            description: 'Name of the node in logs and the admin API; made of the url, without it.',
            pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'
          })
        ),
        url: nodeURL('Where the node is.'),
        srv: Type.Optional(
          Type.String({
            description:
              'Name of SRV records that say at which hosts and ports it is really; the url still gives the scheme, the Host header and the path.',
            pattern: '^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$',
            maxLength: 253,
            examples: ['_http._tcp.orders.example']
          })
        ),
        weight: Type.Integer({
          default: 1,
          minimum: 0,
          maximum: 1000,
          description: 'Share of the requests; a node of weight 2 gets twice as many as one of weight 1.'
        })
      },
      { additionalProperties: false, description: 'A node and its weight.' }
    )
  ],
  { description: 'One machine or process that answers for the service.' }
)

const timeouts = Type.Object(
  {
    connect: Duration({ default: '2s', description: 'Longest wait for a connection to a node.' }),
    response: Duration({
      default: '15s',
      description: 'Longest wait for the head of the answer once the request is sent.'
    }),
    idle: Duration({ default: '60s', description: 'Longest silence within a body or a WebSocket.' }),
    total: Duration({ default: '0s', description: 'Longest whole exchange; 0s means no limit.' })
  },
  { additionalProperties: false, default: {}, description: 'How long the gateway waits for the nodes.' }
)

const retry = Type.Object(
  {
    attempts: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 5,
      description:
        'How often a request is tried again: on another node when nothing of it could be sent, and after a broken connection when it is idempotent and its body is small.'
    }),
    statuses: Type.Array(Type.Integer({ minimum: 400, maximum: 599, description: 'A status.' }), {
      default: [],
      maxItems: 20,
      examples: [[502, 504]],
      description:
        'Answers upon which a request that is idempotent and has a small body or none is tried again; the client sees only the last one. None, unless listed.'
    }),
    budget: Type.Integer({
      default: 20,
      minimum: 0,
      maximum: 100,
      description:
        'Most retries of what a node may have seen, in percent of the requests of late, so that a service in trouble does not get more of it.'
    }),
    minimum: Type.Integer({
      default: 3,
      minimum: 0,
      maximum: 1000,
      description: 'Retries a second after broken connections that are there even when requests are few.'
    })
  },
  { additionalProperties: false, default: {}, description: 'When a request is sent a second time.' }
)

const connections = Type.Object(
  {
    max: Type.Integer({
      default: 1024,
      minimum: 1,
      maximum: 65_535,
      description: 'Most connections to one node.'
    }),
    queue: Type.Integer({
      default: 1024,
      minimum: 0,
      maximum: 65_535,
      description: 'Most requests that wait for a connection to one node; more are answered with 503.'
    })
  },
  { additionalProperties: false, default: {}, description: 'How many connections are kept.' }
)

const dns = Type.Object(
  {
    servers: Type.Array(
      Type.String({
        description: 'Address of a name server, with a port if it is not 53.',
        pattern: '^([0-9.]+|[0-9A-Fa-f:.]+|[0-9.]+:[0-9]{1,5}|\\[[0-9A-Fa-f:.]+\\](:[0-9]{1,5})?)$',
        maxLength: 60
      }),
      {
        default: [],
        maxItems: 10,
        examples: [['10.0.0.2', '127.0.0.1:5353']],
        description:
          "Who is asked for the names of nodes; the system's name servers and its hosts file, when empty."
      }
    ),
    family: Type.Union(
      [Type.Literal('auto'), Type.Literal('ipv4'), Type.Literal('ipv6'), Type.Literal('both')],
      {
        default: 'auto',
        description:
          'Which addresses of a name are used; "auto" uses those of IPv6 only where there are none of IPv4.'
      }
    ),
    minTTL: Duration({ default: '1s', description: 'Shortest time until a name is resolved again.' }),
    maxTTL: Duration({ default: '1m', description: 'Longest time until a name is resolved again.' }),
    timeout: Duration({ default: '2s', description: 'Longest wait for a name server; it is asked twice.' })
  },
  {
    additionalProperties: false,
    default: {},
    description: 'How names of nodes are resolved. Each address of a name is asked as a node of its own.'
  }
)

const tls = Type.Object(
  {
    verify: Type.Boolean({
      default: true,
      description: 'Whether the certificates of https nodes are checked. False is for development only.'
    }),
    ca: Type.Optional(
      Type.String({
        description: 'PEM file of the authority that signed them, relative to the directory of the config.',
        minLength: 1,
        maxLength: 4096
      })
    ),
    servername: Type.Optional(
      Type.String({
        description: "Name the certificate is for, when it is not the node's host.",
        minLength: 1,
        maxLength: 253
      })
    )
  },
  { additionalProperties: false, default: {}, description: 'How https nodes are trusted.' }
)

/** One service: its nodes and how they are used. */
export const serviceSlice = Type.Object(
  {
    nodes: Type.Array(node, {
      default: [],
      maxItems: 1000,
      description: 'Who answers for the service. Without nodes every request is answered with 503.'
    }),
    balance: balanceSlice,
    timeouts,
    health: healthSlice,
    retry,
    breaker: breakerSlice,
    connections,
    dns,
    transport: Type.Union([Type.Literal('auto'), Type.Literal('direct'), Type.Literal('http-proxy')], {
      default: 'auto',
      description:
        "`direct` writes answers straight to the client's connection; `http-proxy` passes them through Fastify (@fastify/http-proxy), for plugins that look at payloads. `auto` is direct, unless a plugin has an onSend hook."
    }),
    tls,
    limit: Type.Optional(limitSchema),
    fallback: Type.Optional(fallbackSchema),
    run: Type.Optional(runSlice)
  },
  { additionalProperties: false, description: 'One service: its nodes and how they are used.' }
)

/** The key `services`. */
export const servicesSlice = {
  key: 'services',
  slice: Type.Record(Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' }), serviceSlice, {
    default: {},
    description: 'Who answers, by name; routes name one.'
  })
} as const

export type ServiceOptions = Static<typeof serviceSlice>
