import { Type } from '@sinclair/typebox'
import { Duration } from '../../../config/units.ts'

/** The keys of `auth` that are about sessions and refresh tokens. */
export const sessionOptions = {
  grace: Duration({
    description:
      'A refresh token may be sent again this long after it was used, and gives the same successor: answers get lost.',
    default: '10s'
  }),
  unconfirmed: Duration({
    description:
      'The same, for as long as no token of the successor was used: its answer seems to be lost. 0s for `grace` alone.',
    default: '60s'
  }),
  clients: Type.Array(
    Type.String({ description: 'One client id (RFC 6749 2.2).', pattern: '^[A-Za-z0-9._~-]{1,64}$' }),
    {
      description: 'The clients users may sign in with, as `client_id`. Who names none is the first.',
      default: ['toll'],
      minItems: 1,
      maxItems: 256,
      uniqueItems: true
    }
  ),
  sessions: Type.Object(
    {
      max: Type.Integer({
        description: 'How many sessions one user may have at a time; 0 for any number.',
        default: 1000,
        minimum: 0,
        maximum: 100_000
      }),
      onLimit: Type.Union(
        [
          Type.Literal('evict-oldest', { description: 'End the session that was used least recently.' }),
          Type.Literal('reject', { description: 'Refuse the new sign-in.' })
        ],
        { description: 'What happens to a sign-in beyond `max`.', default: 'evict-oldest' }
      ),
      provider: Type.Optional(
        Type.String({
          description:
            'A module of your own in which sessions live instead of the store: a path relative to the config file, or the name of a package.',
          minLength: 1,
          maxLength: 1000
        })
      ),
      options: Type.Record(Type.String(), Type.Unknown({ description: 'As the provider wants it.' }), {
        description: 'What `provider` is given, as it is.',
        default: {}
      })
    },
    {
      additionalProperties: false,
      default: {},
      description: 'How many sessions a user may have, and where they live.'
    }
  )
}
