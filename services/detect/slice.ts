import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'
import { signalNames, signals } from './signals.ts'

const closed = { additionalProperties: false } as const

const pattern = (of: string) =>
  Type.String({
    description: `A regular expression (RE2 syntax, case does not count) that is looked for in ${of}.`,
    minLength: 1,
    maxLength: 1000
  })

const patterns = (of: string, description: string) =>
  Type.Array(pattern(of), { default: [], maxItems: 200, description })

/** The key `guard.headers`. */
export const headerRules = Type.Object(
  {
    require: Type.Array(Type.String({ description: 'A header name.', minLength: 1, maxLength: 100 }), {
      default: [],
      maxItems: 50,
      description: 'Headers without which a request is refused with 400.'
    }),
    forbid: Type.Array(
      Type.Object(
        {
          name: Type.String({ description: 'A header name.', minLength: 1, maxLength: 100 }),
          match: Type.Optional(pattern('its value'))
        },
        { ...closed, description: 'A header, or some values of it.' }
      ),
      { default: [], maxItems: 100, description: 'Headers with which a request is refused with 400.' }
    ),
    maxValue: Type.Optional(
      Type.Integer({
        description:
          'Longest value of a header, in characters; a longer one gets 431. `listen.maxHead` bounds all of them together.',
        minimum: 64,
        maximum: 1_048_576
      })
    ),
    duplicates: Type.Boolean({
      default: true,
      description:
        'Refuses requests with two User-Agent, Content-Type, Referer, Origin, From or Max-Forwards headers: a service may read the other one.'
    })
  },
  { ...closed, default: {}, description: 'Requests that are refused for their headers.' }
)

/** The key `guard.userAgents`. */
export const agentRules = Type.Object(
  {
    allow: patterns(
      'the user agent',
      'User agents that pass, whatever `deny` says, and that no signal is made of.'
    ),
    deny: patterns('the user agent', 'User agents that are refused with 403.')
  },
  { ...closed, default: {}, description: 'Requests that are refused for their user agent.' }
)

/** The key `guard.paths`. */
export const pathRules = Type.Object(
  { deny: patterns('the normalised path', 'Paths that are refused with 403, whatever route they lead to.') },
  { ...closed, default: {}, description: 'Requests that are refused for their path.' }
)

const weights = Type.Object(
  Object.fromEntries(
    signalNames.map((name) => [
      name,
      Type.Number({
        description: signals[name].means,
        default: signals[name].weight,
        minimum: 0,
        maximum: 1000
      })
    ])
  ) as { [Name in keyof typeof signals]: ReturnType<typeof Type.Number> },
  { ...closed, default: {}, description: 'Points by signal; 0 leaves a signal out.' }
)

/** The key `guard.detect`. */
export const detectSchema = Type.Object(
  {
    window: Duration({ default: '1m', description: 'How long a signal counts.' }),
    threshold: Type.Number({
      default: 100,
      minimum: 1,
      maximum: 1_000_000,
      description: 'Points within the window, over all gateways on the store, with which a client is banned.'
    }),
    weights,
    ignore: Type.Array(Type.String({ description: 'A path, or the beginning of paths.', pattern: '^/' }), {
      default: [],
      maxItems: 200,
      description: 'Paths that are no probes here, such as /wp-login.php of a real WordPress.'
    })
  },
  {
    ...closed,
    description:
      'Watches for clients that behave as no browser and no program of yours does, and has them banned (`ban`). Without it nobody is banned by himself. Name your own proxies in `trustedProxies` first: otherwise all clients behind one are taken for a single one.'
  }
)

export type DetectOptions = Static<typeof detectSchema>
export type HeaderRules = Static<typeof headerRules>
export type AgentRules = Static<typeof agentRules>
export type PathRules = Static<typeof pathRules>
