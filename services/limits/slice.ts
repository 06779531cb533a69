import { type Static, Type } from '@sinclair/typebox'

const rate = {
  qps: Type.Number({
    description: 'Requests a second in the long run; 0.5 is one every two seconds.',
    minimum: 0.001,
    maximum: 1_000_000
  }),
  slack: Type.Integer({
    description:
      'Requests that may come early after a pause: this many and one more are let through at once.',
    default: 10,
    minimum: 0,
    maximum: 1_000_000
  }),
  scope: Type.Union([Type.Literal('exact'), Type.Literal('local')], {
    description:
      '`exact`: all gateways on a store count together, at the price of a store call for each request. `local`: each process counts for itself and lets that many through, without a store call.',
    default: 'exact'
  }),
  mode: Type.Literal('reject', {
    description: 'What happens to a request too many: it is refused with 429.',
    default: 'reject'
  })
}

/** How many requests a service takes, over all routes and clients. */
export const limitSchema = Type.Object(rate, {
  additionalProperties: false,
  description: 'How many requests a second the service gets, whoever sends them.'
})

/** How many requests a route takes, and from whom each. */
export const routeLimitSchema = Type.Object(
  {
    ...rate,
    by: Type.String({
      description:
        'What each has a limit of its own: "subject" (who is signed in, or else the address), "api-key" (each key by itself; without one as "subject"), "address" (IPv6: its /64), "route" (all together), "header:<name>" or "claim:<name>". A header is the client\'s to choose: use it only where something in front vouches for it.',
      default: 'subject',
      pattern:
        "^(subject|api-key|address|route|header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}|claim:[^\\s]{1,100})$",
      examples: ['subject', 'api-key', 'address', 'route', 'header:x-tenant', 'claim:tenant']
    })
  },
  { additionalProperties: false, description: 'How many requests a second the route takes.' }
)

export type LimitOptions = Static<typeof limitSchema>
export type RouteLimitOptions = Static<typeof routeLimitSchema>
