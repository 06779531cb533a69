import { type Static, Type } from '@sinclair/typebox'
import { Duration, Size } from '../../config/units.ts'
import { apiKeysSlice } from './api-keys/slice.ts'
import { cookieSlice } from './cookies/slice.ts'
import { issuersSlice } from './issuers/slice.ts'
import { keysSlice, signingSlice } from './keys/slice.ts'
import { revocationOptions } from './revocations/slice.ts'
import { sessionOptions } from './sessions/slice.ts'
import { lockOutSlice } from './users/lock-out-slice.ts'
import { usersSlice } from './users/slice.ts'

const closed = { additionalProperties: false } as const
const headerName = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"
/** No part may be a dot or two: nobody could ask for it. */
const door = '^(/(?![.]{1,2}(/|$))[A-Za-z0-9._~-]+)+$'

const Door = (description: string, path: string) =>
  Type.String({ description, default: path, pattern: door, maxLength: 200 })
const Header = (description: string, name: string) =>
  Type.String({ description, default: name, pattern: headerName })

/** The key `auth`: who signs tokens, for how long, who the users are, and where the doors are. */
export const authSlice = Type.Object(
  {
    issuer: Type.String({
      description: 'The `iss` of the tokens the gateway signs, and the only one it takes.',
      default: 'tollkeeper',
      minLength: 1,
      maxLength: 255
    }),
    audience: Type.String({
      description: 'The `aud` of the tokens, unless a route names another.',
      default: 'api',
      minLength: 1,
      maxLength: 255
    }),
    access: Duration({ description: 'How long an access token is valid.', default: '15m' }),
    refresh: Duration({
      description: 'How long a session lasts after sign-in, however often it is refreshed.',
      default: '7d'
    }),
    idle: Duration({ description: 'A session that is not used for this long ends.', default: '30m' }),
    ...sessionOptions,
    users: Type.Optional(usersSlice),
    lockout: lockOutSlice,
    apiKeys: apiKeysSlice,
    keys: keysSlice,
    signing: signingSlice,
    ...revocationOptions,
    cookie: Type.Optional(cookieSlice),
    issuers: issuersSlice,
    headers: Type.Object(
      {
        user: Header('Names the header that tells the upstream who is asking.', 'x-user-id'),
        session: Header('Names the header with the session id.', 'x-session-id'),
        scopes: Header('Names the header with the scopes, separated by spaces.', 'x-scopes')
      },
      { ...closed, default: {}, description: 'What the upstream is told about the user.' }
    ),
    assertion: Type.Object(
      {
        header: Header('Names the header with the assertion.', 'x-gateway-assertion'),
        ttl: Duration({ description: 'How long a service may take an assertion.', default: '60s' })
      },
      {
        ...closed,
        default: {},
        description:
          'A signed statement of who is asking, for the service alone; on routes whose `auth` says `assertion`.'
      }
    ),
    paths: Type.Object(
      {
        login: Door('Where users sign in.', '/auth/login'),
        refresh: Door('Where a refresh token is exchanged.', '/auth/refresh'),
        logout: Door('Where a session is ended.', '/auth/logout'),
        logoutAll: Door('Where a user ends every session of theirs.', '/auth/logout-all'),
        me: Door('Where a user sees who they are.', '/auth/me'),
        sessions: Door('Where a user lists and ends sessions.', '/auth/sessions')
      },
      { ...closed, default: {}, description: 'Where the doors of the gateway are.' }
    ),
    maxBody: Size({
      description: 'Largest request body the doors take; more is answered with 413.',
      default: '8KiB'
    }),
    fields: Type.Union(
      [
        Type.Literal('snake', { description: 'As RFC 6749: `access_token`.' }),
        Type.Literal('camel', { description: 'As older clients want it: `accessToken`.' })
      ],
      { description: 'How fields are spelt in answers of the doors.', default: 'snake' }
    ),
    unsafeGet: Type.Boolean({
      description:
        'Lets logout and refresh be asked with GET as well. Only for old clients: a link or an image on any page can end a session.',
      default: false
    })
  },
  { ...closed, description: 'Sign-in, tokens and sessions.' }
)

export type AuthOptions = Static<typeof authSlice>
