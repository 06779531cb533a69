import { Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'

const active = Type.Object(
  {
    type: Type.Union([Type.Literal('http'), Type.Literal('tcp')], {
      default: 'http',
      description:
        'Whether a node is asked for an answer, or only for a connection (with https nodes: and a handshake).'
    }),
    method: Type.Union([Type.Literal('GET'), Type.Literal('HEAD')], {
      default: 'GET',
      description: 'Method of the question.'
    }),
    path: Type.String({
      default: '/',
      pattern: '^/[^\\s#]*$',
      maxLength: 2000,
      description: "Path of the question, behind the path of the node's url."
    }),
    status: Type.String({
      default: '200-299',
      pattern: '^[1-5][0-9]{2}(-[1-5][0-9]{2})?$',
      maxLength: 7,
      description: 'Statuses of a good answer: one, or the first and the last.',
      examples: ['200-299', '204']
    }),
    interval: Duration({ default: '10s', description: 'Time between two checks of a node.' }),
    jitter: Type.Integer({
      default: 20,
      minimum: 0,
      maximum: 100,
      description:
        'How much the time between two checks varies, in percent, so that gateways do not ask in step.'
    }),
    timeout: Duration({ default: '2s', description: 'Longest wait for the answer.' }),
    unhealthyAfter: Type.Integer({
      default: 3,
      minimum: 1,
      maximum: 100,
      description: 'Bad checks in a row after which a node gets no requests.'
    }),
    healthyAfter: Type.Integer({
      default: 2,
      minimum: 1,
      maximum: 100,
      description: 'Good checks in a row after which it gets them again.'
    })
  },
  { additionalProperties: false, description: 'Asks each node regularly how it is; off unless it is here.' }
)

/** When nodes are left alone. */
export const healthSlice = Type.Object(
  {
    failures: Type.Integer({
      default: 3,
      minimum: 1,
      maximum: 1000,
      description:
        'Failures in a row after which a node is left alone: connections that were refused or broke, and answers that did not come in time. What a client did never counts.'
    }),
    serverErrors: Type.Boolean({
      default: false,
      description: 'Whether answers with a status of 500 and above are failures too.'
    }),
    eject: Duration({
      default: '5s',
      description:
        'How long a node is left alone; then one request tries it, and if that fails it is twice as long. 0s switches it off.'
    }),
    maxEject: Duration({
      default: '1m',
      description: 'Longest time a node is left alone before it is tried.'
    }),
    maxEjected: Type.Integer({
      default: 75,
      minimum: 0,
      maximum: 100,
      description:
        'Most nodes that may be left alone, in percent. When more are, all are asked as if none were: rather a try than no service.'
    }),
    active: Type.Optional(active)
  },
  { additionalProperties: false, default: {}, description: 'When a node is left alone for a while.' }
)

/** When a node gets nothing at all, whatever becomes of the requests. */
export const breakerSlice = Type.Object(
  {
    failures: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'Failures within the window that open the breaker of a node.'
      })
    ),
    share: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'Share of the requests within the window that must fail to open it, in percent.'
      })
    ),
    minimum: Type.Integer({
      default: 20,
      minimum: 1,
      maximum: 1_000_000,
      description: 'Requests there must be within the window before a share is taken of them.'
    }),
    window: Duration({
      default: '10s',
      description: 'Time in which failures are counted; it begins with the first.'
    }),
    open: Duration({
      default: '5s',
      description:
        'How long an open breaker lets nothing through; twice as long each time the trials fail, up to `health.maxEject`.'
    }),
    trials: Type.Integer({
      default: 1,
      minimum: 1,
      maximum: 100,
      description: 'Requests that are let through then, and must all be good for it to close.'
    })
  },
  {
    additionalProperties: false,
    default: {},
    description:
      'A breaker for each node; off unless it has `failures` or `share`. While those of all nodes are open, requests are answered with 503 at once.'
  }
)
