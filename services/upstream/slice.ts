import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'
import { limitSchema } from '../limits/slice.ts'
import { runSlice } from '../runtime/slice.ts'

const nodeURL = (description: string) =>
  Type.String({ description, pattern: '^https?://[^\\s?#@]+$', maxLength: 2000 })

const node = Type.Union(
  [
    nodeURL('Where a node is: http:// or https://, a host, a port, and a path to put in front if need be.'),
    Type.Object(
      {
        url: nodeURL('Where the node is.'),
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

const health = Type.Object(
  {
    eject: Duration({
      default: '5s',
      description:
        'A node that refuses connections gets no requests for this long, unless no other is left. 0s switches it off.'
    })
  },
  { additionalProperties: false, default: {}, description: 'When a node is left alone for a while.' }
)

const retry = Type.Object(
  {
    attempts: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 5,
      description:
        'How often a request is tried again: on another node when no connection could be made, and after a broken connection when it is idempotent and its body is small. Never because of a status.'
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
    balance: Type.Union([Type.Literal('round-robin')], {
      default: 'round-robin',
      description: 'How a node is picked: in turn, by weight.'
    }),
    timeouts,
    health,
    retry,
    breaker: Type.Object(
      {},
      { additionalProperties: false, default: {}, description: 'Reserved; it has no settings yet.' }
    ),
    connections,
    transport: Type.Union([Type.Literal('auto'), Type.Literal('direct'), Type.Literal('http-proxy')], {
      default: 'auto',
      description:
        "`direct` writes answers straight to the client's connection; `http-proxy` passes them through Fastify (@fastify/http-proxy), for plugins that look at payloads. `auto` is direct, unless a plugin has an onSend hook."
    }),
    tls,
    limit: Type.Optional(limitSchema),
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
