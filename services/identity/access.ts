import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'
import type { CredentialKind } from './parts.ts'
import { type OnStale, onStaleModes } from './revocations/slice.ts'

const closed = { additionalProperties: false } as const
const scopeToken = '^[\\x21\\x23-\\x5B\\x5D-\\x7E]{1,128}$'

const mode = Type.Union(
  [
    Type.Literal('none', { description: 'Anybody; a token is not looked at.' }),
    Type.Literal('optional', { description: 'Anybody; but a token that is sent has to be valid.' }),
    Type.Literal('required', { description: 'Only with a valid token.' })
  ],
  { description: 'Whether a token is needed.', default: 'required' }
)

/** The key `auth` of a route. A route without it needs a valid token: forgetting it never opens a route. */
export const routeAuth = Type.Union(
  [
    mode,
    Type.Object(
      {
        mode,
        session: Type.Union(
          [
            Type.Literal('stateless', {
              description: 'Signature and claims only; an ended session passes until exp.'
            }),
            Type.Literal('revocable', {
              description: 'Ended sessions are refused at once, without a store call per request.'
            }),
            Type.Literal('strict', {
              description: 'The session has to be in the store at every request; 503 without the store.'
            })
          ],
          { description: 'How the session behind a token is checked.', default: 'revocable' }
        ),
        onStale: Type.Optional(
          Type.Union(onStaleModes, {
            description:
              'What becomes of requests while the store does not answer, instead of `auth.onStale`.'
          })
        ),
        scopes: Type.Array(Type.String({ description: 'One scope (RFC 6749 3.3).', pattern: scopeToken }), {
          description: 'Scopes the token must have, all of them.',
          default: [],
          maxItems: 64
        }),
        credentials: Type.Array(
          Type.Union(
            [
              Type.Literal('bearer', { description: '`Authorization: Bearer` with an access token.' }),
              Type.Literal('api-key', { description: 'The header of `auth.apiKeys` with an API key.' }),
              Type.Literal('cookie', {
                description: 'The cookies of a sign-in with "cookie": true; needs `auth.cookie`.'
              })
            ],
            {
              description: 'One kind of credential.'
            }
          ),
          {
            description:
              'Where the route takes a credential from; what stands elsewhere is not looked at. A request with two of them is refused.',
            default: ['bearer'],
            minItems: 1,
            uniqueItems: true
          }
        ),
        onExpiry: Type.Union(
          [
            Type.Literal('keep', {
              description: 'They stay open until their session is ended, or one side leaves.'
            }),
            Type.Literal('close', {
              description:
                'They end with the token: WebSockets with code 4401, event streams without an error.'
            })
          ],
          {
            description: 'What happens to WebSockets and event streams whose access token has expired.',
            default: 'keep'
          }
        ),
        maxAge: Type.Optional(
          Duration({
            description:
              'How long ago the user may have signed in, at most; a refresh does not count. Others are told to sign in again (RFC 9470).'
          })
        ),
        oneTime: Type.Boolean({
          description:
            'Takes each token once, whichever gateway it comes to. Costs a store call; 503 without the store.',
          default: false
        }),
        assertion: Type.Boolean({
          description: 'Tells the service who is asking in a JWT it can verify, beside the plain headers.',
          default: false
        }),
        issuers: Type.Optional(
          Type.Array(
            Type.String({
              description: '"own" for this gateway, or a name of `auth.issuers`.',
              maxLength: 32
            }),
            {
              description: 'Whose tokens the route takes; those of every issuer when left out.',
              minItems: 1,
              uniqueItems: true
            }
          )
        ),
        audience: Type.Optional(
          Type.String({
            description: 'The `aud` this route takes instead of the one of `auth.audience`.',
            minLength: 1,
            maxLength: 255
          })
        )
      },
      { ...closed, description: 'Who may use the route, in detail.' }
    )
  ],
  { description: 'Who may use the route.', default: 'required' }
)

export type RouteAuth = Static<typeof routeAuth>

/** A route's `auth` with everything said. */
export interface Access {
  readonly mode: 'none' | 'optional' | 'required'
  readonly session: 'stateless' | 'revocable' | 'strict'
  readonly onStale: OnStale
  readonly scopes: readonly string[]
  readonly credentials: readonly CredentialKind[]
  readonly onExpiry: 'keep' | 'close'
  readonly maxAge?: string
  readonly oneTime: boolean
  readonly assertion: boolean
  readonly audience: string
  readonly issuers: 'all' | readonly string[]
}

/** What a route asks of its callers. */
export function accessOf(
  auth: RouteAuth | undefined,
  audience: string,
  onStale: OnStale = 'degraded'
): Access {
  const detail = typeof auth === 'object' ? auth : { mode: auth ?? 'required' }
  return Object.freeze({
    session: 'revocable' as const,
    onStale,
    scopes: [],
    credentials: ['bearer'] as const,
    onExpiry: 'keep' as const,
    oneTime: false,
    assertion: false,
    audience,
    issuers: 'all' as const,
    ...detail
  })
}
