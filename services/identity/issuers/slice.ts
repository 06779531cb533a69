import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../../config/units.ts'

/** What the issuers of others may sign with: never a shared secret, with which everybody who verifies could sign as well. */
const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA'
] as const

const address = '^https?://[!-~]{1,2000}$'

/** The key `auth.issuers`: who else may sign tokens that routes here take. */
export const issuersSlice = Type.Array(
  Type.Object(
    {
      name: Type.String({
        description: 'What routes and logs call this issuer; "own" is the gateway itself.',
        pattern: '^[a-z0-9][a-z0-9-]{0,31}$'
      }),
      issuer: Type.String({
        description: 'The `iss` of its tokens, exactly as they carry it.',
        pattern: '^[!-~]{1,255}$'
      }),
      audience: Type.Optional(
        Type.String({
          description:
            'The `aud` its tokens must have where a route names none; that of `auth.audience` when left out.',
          minLength: 1,
          maxLength: 255
        })
      ),
      jwks: Type.Optional(
        Type.String({
          description: 'Where its keys are; found out from its discovery document when left out.',
          pattern: address
        })
      ),
      keys: Type.Optional(
        Type.String({
          description:
            'A file with its keys (a JWK set) instead, relative to the config file; read again when it changes.',
          minLength: 1,
          maxLength: 4096
        })
      ),
      algorithms: Type.Array(
        Type.Union(
          algorithms.map((name) => Type.Literal(name, { description: `RFC 7518, RFC 8037: ${name}.` })),
          { description: 'One algorithm.' }
        ),
        {
          description:
            'The signatures that are taken. An RSA key that does not say its algorithm is for the first one of RSA in this list.',
          default: ['RS256', 'ES256', 'EdDSA', 'PS256', 'RS384', 'ES384', 'PS384', 'RS512', 'ES512', 'PS512'],
          minItems: 1,
          uniqueItems: true
        }
      ),
      types: Type.Array(Type.String({ description: 'One `typ`.', pattern: '^[A-Za-z0-9.+-]{1,64}$' }), {
        description: 'The `typ` its tokens may have. A token without one counts as JWT (RFC 7519 5.1).',
        default: ['at+jwt', 'JWT'],
        minItems: 1,
        uniqueItems: true
      }),
      maxLifetime: Duration({
        description: 'The longest time from `iat` to `exp` that is taken.',
        default: '24h'
      }),
      scopeClaim: Type.String({
        description: 'The claim with the scopes: a text with spaces between, or a list.',
        default: 'scope',
        minLength: 1,
        maxLength: 255
      }),
      subjectPrefix: Type.Optional(
        Type.String({
          description:
            'Stands before every subject of this issuer, so that none of them is taken for a user of this gateway; "NAME:" when left out.',
          pattern: '^[!-~]{0,64}$'
        })
      ),
      allowInsecure: Type.Boolean({
        description:
          'Lets keys come over http from elsewhere than this machine. Whoever is between can sign as anybody.',
        default: false
      })
    },
    { additionalProperties: false, description: 'One issuer.' }
  ),
  {
    description: 'Others whose tokens are taken: the identity providers of users and services.',
    default: [],
    maxItems: 32
  }
)

export type IssuerOptions = Static<typeof issuersSlice>[number]
