import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../../config/units.ts'

const closed = { additionalProperties: false } as const

const file = Type.Object(
  {
    driver: Type.Literal('file', { description: 'Users are kept in a file.', default: 'file' }),
    path: Type.String({
      description: 'The users file, relative to the config file. `toll user add` writes it.',
      default: 'users.json',
      minLength: 1,
      maxLength: 4096
    })
  },
  { ...closed, description: 'Users in a file.' }
)

const http = Type.Object(
  {
    driver: Type.Literal('http', { description: 'A service of yours knows the users.' }),
    url: Type.String({
      description:
        'Where the service is; `/verify` and `/lookup` are put behind. https, unless it is on this machine.',
      pattern: '^https?://[^\\s?#@]+$',
      maxLength: 2000
    }),
    keyId: Type.String({
      description:
        'Names the secret in the signature, so that the service can take two while one is replaced.',
      default: 'tollkeeper',
      pattern: '^[A-Za-z0-9._-]{1,64}$'
    }),
    secret: Type.String({
      description:
        'Signs every request (HMAC-SHA256), best given by an environment variable. 32 characters or more.',
      minLength: 32,
      maxLength: 1024,
      secret: true
    }),
    timeout: Duration({
      description: 'An answer that is not complete after this time is none; the client is told 503.',
      default: '3s'
    }),
    cache: Duration({
      description: 'How long what `/lookup` answered is believed when the same user refreshes again.',
      default: '5s'
    }),
    allowInsecure: Type.Boolean({
      description: 'Lets passwords go to another machine over plain http. Whoever is on the way reads them.',
      default: false
    })
  },
  { ...closed, description: 'Users of a service.' }
)

const none = Type.Object(
  { driver: Type.Literal('none', { description: 'Nobody signs in here; tokens are only verified.' }) },
  { ...closed, description: 'No users.' }
)

/** The key `auth.users`: who may sign in. */
export const usersSlice = Type.Union([file, http, none], {
  description: 'Who may sign in. Without it nobody can; tokens are still verified.',
  discriminator: { propertyName: 'driver' }
})

export type UsersOptions = Static<typeof usersSlice>
export type HttpUsersOptions = Static<typeof http>
