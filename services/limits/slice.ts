import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'

/** Units that may come early where nothing is said. */
export const defaultSlack = 10

/** Of a quota whose window is not said. */
export const defaultWindow = '1d'

const closed = { additionalProperties: false } as const

const numbers = {
  qps: Type.Optional(
    Type.Number({
      description: 'Units a second in the long run; 0.5 is one every two seconds.',
      minimum: 0.001,
      maximum: 1_000_000
    })
  ),
  slack: Type.Optional(
    Type.Integer({
      description:
        'With `qps`: units that may come early after a pause, 10 unless said; this many and one more are let through at once.',
      minimum: 0,
      maximum: 1_000_000
    })
  ),
  quota: Type.Optional(
    Type.Integer({
      description: 'Instead of `qps`: units in any `window`, however they are spread in it.',
      minimum: 1,
      maximum: 1_000_000_000
    })
  ),
  window: Type.Optional(
    Duration({ description: 'Length of the sliding window of `quota`, from 1s to 31 days; 1d unless said.' })
  ),
  concurrency: Type.Optional(
    Type.Integer({
      description: 'Instead of `qps`: requests that may be under way at the same time.',
      minimum: 1,
      maximum: 1_000_000
    })
  )
}

export const numbersSchema = Type.Object(numbers, { ...closed, description: 'Numbers of one tier.' })

const limit = {
  ...numbers,
  name: Type.Optional(
    Type.String({
      description:
        'What clients see in RateLimit fields and operators in metrics; the id of the route, or the name of the service, unless said. Needed for the second and further limits of a route.',
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'
    })
  ),
  scope: Type.Union(
    [
      Type.Literal('exact', {
        description:
          'All gateways on a store count together. Costs a store call, which the requests of one moment share.'
      }),
      Type.Literal('leased', {
        description:
          'The same limit for all gateways together, but each takes units in stock: most requests ask nobody where the burst is large. Only with `qps`.'
      }),
      Type.Literal('local', {
        description: 'Each process counts for itself and lets that many through, without a store.'
      })
    ],
    { description: 'Who counts together.', default: 'exact' }
  ),
  onStoreError: Type.Union(
    [
      Type.Literal('local', {
        description: 'Each gateway lets its share through: the limit, divided by the gateways on the store.'
      }),
      Type.Literal('open', { description: 'All pass, and nothing is counted.' }),
      Type.Literal('closed', { description: 'None passes: 503.' })
    ],
    {
      description: 'What becomes of requests while the store does not answer in time.',
      default: 'local'
    }
  ),
  mode: Type.Union(
    [
      Type.Literal('reject', { description: 'A request too many is refused with 429.' }),
      Type.Literal('wait', {
        description:
          'A request too many is held back until its time has come, for `maxWait` at most. Only with `qps`, and not with `leased`.'
      })
    ],
    { description: 'What happens to a request too many.', default: 'reject' }
  ),
  maxWait: Duration({
    description:
      'With `mode` "wait": longest time a request is held back; who would have to wait longer is refused at once.',
    default: '1s'
  }),
  maxQueue: Type.Integer({
    description: 'With `mode` "wait": requests that each process holds back at the same time, at most.',
    default: 1000,
    minimum: 1,
    maximum: 100_000
  }),
  cost: Type.Integer({
    description: 'Units that each request takes.',
    default: 1,
    minimum: 1,
    maximum: 1_000_000
  }),
  costHeader: Type.Optional(
    Type.String({
      description:
        'Header of the answer in which the service says how many units the request took; what is more than `cost` is counted then. It goes on to the client.',
      pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"
    })
  ),
  shadow: Type.Boolean({
    description:
      'Counts, and notes in log and metrics whom it would refuse, but refuses nobody and tells clients nothing.',
    default: false
  }),
  tiers: Type.Optional(
    Type.Object(
      {
        claim: Type.String({
          description: 'The claim of the access token that names the tier.',
          minLength: 1,
          maxLength: 100
        }),
        of: Type.Record(
          Type.String({ minLength: 1, maxLength: 100, description: 'Name of a tier.' }),
          numbersSchema,
          {
            description: 'Numbers by tier. Who is of no tier in it has those of the limit.',
            maxProperties: 100
          }
        )
      },
      { ...closed, description: 'Other numbers for some, by a claim.' }
    )
  )
}

/** How many requests a service takes, over all routes and clients. */
export const limitSchema = Type.Object(limit, {
  ...closed,
  description: 'How many requests the service gets, whoever sends them.'
})

const kinds = "(subject|api-key|address|route|header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}|claim:[^\\s]{1,100})"

const by = Type.String({
  description:
    '"subject" (who is signed in, or else the address), "api-key" (each key by itself; without one as "subject"), "address" (IPv6: its /64), "route" (all together), "header:<name>" or "claim:<name>". A header is the client\'s to choose: use it only where something in front vouches for it.',
  pattern: `^${kinds}$`,
  examples: ['subject', 'api-key', 'address', 'route', 'header:x-tenant', 'claim:tenant']
})

const routeLimit = Type.Object(
  {
    ...limit,
    by: Type.Union(
      [by, Type.Array(by, { minItems: 2, maxItems: 4, uniqueItems: true, description: 'A combination.' })],
      { description: 'What each has a limit of its own; of a list, each combination.', default: 'subject' }
    )
  },
  { ...closed, description: 'How many requests the route takes.' }
)

/** How many requests a route takes, and from whom each. */
export const routeLimitSchema = Type.Union(
  [
    routeLimit,
    Type.Array(routeLimit, {
      minItems: 1,
      maxItems: 8,
      description: 'Several limits, all of which a request has to pass.'
    })
  ],
  { description: 'How many requests the route takes: a limit, or a list of them.' }
)

export type Numbers = Static<typeof numbersSchema>
export type LimitOptions = Static<typeof limitSchema>
export type RouteLimit = Static<typeof routeLimit>
export type RouteLimitOptions = Static<typeof routeLimitSchema>
