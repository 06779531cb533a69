import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'

const closed = { additionalProperties: false } as const

/** A list of addresses and CIDR ranges. */
export const networks = (description: string) =>
  Type.Array(Type.String({ description: 'An address or a CIDR range.', minLength: 2, maxLength: 60 }), {
    default: [],
    maxItems: 10_000,
    description
  })

/** What becomes of those who are shut out: the key `guard.ban`. */
export const banSchema = Type.Object(
  {
    durations: Type.Array(Duration({ description: 'How long a ban lasts.' }), {
      default: ['10m', '1h', '24h'],
      minItems: 1,
      maxItems: 10,
      description:
        'How long the first, second ... automatic ban of a network lasts; the last holds for all further ones.'
    }),
    memory: Duration({
      default: '7d',
      description: 'How long a ban is remembered, for the next one to last longer.'
    }),
    action: Type.Union(
      [
        Type.Literal('refuse', { description: 'They get 403.' }),
        Type.Literal('drop', { description: 'Their connection is closed without an answer.' })
      ],
      { default: 'refuse', description: 'What banned and denied clients get.' }
    ),
    dryRun: Type.Boolean({
      default: false,
      description:
        'Automatic bans are logged and counted, and nobody is shut out by them. Bans by operators and `deny` hold all the same.'
    })
  },
  { ...closed, default: {}, description: 'How clients are shut out.' }
)

/** The key `clients` of a route. */
export const routeClients = Type.Object(
  {
    allow: networks('Only these clients get in; everybody when it is empty.'),
    deny: networks('These do not get in, whatever `allow` says.')
  },
  { ...closed, description: 'Which addresses may use the route.' }
)

export type BanOptions = Static<typeof banSchema>
export type RouteClients = Static<typeof routeClients>
