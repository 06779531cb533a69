import { Type } from '@sinclair/typebox'

/** The key `auth.signing`: whose key signs access tokens. */
export const signingSlice = Type.Union(
  [
    Type.Literal('shared', {
      description: 'One key for all users: services can verify the tokens by the public half of it.'
    }),
    Type.Literal('per-user', {
      description:
        'A secret for each user, which ends with their sessions. Only the gateways can verify the tokens: services take the assertion.'
    })
  ],
  {
    description:
      'Which key signs access tokens. Tokens of the other kind are taken until they expire, as long as their key is in the file.',
    default: 'shared'
  }
)

/** The key `auth.keys`: where the keys are, and what new ones are. */
export const keysSlice = Type.Object(
  {
    path: Type.String({
      description:
        'The file with the signing keys, relative to the config file; made when missing. Gateways that share sessions share it.',
      default: '.toll/keys.json',
      minLength: 1,
      maxLength: 4096
    }),
    algorithm: Type.Union(
      [
        Type.Literal('ES256', { description: 'ECDSA on P-256: short tokens, quick to sign.' }),
        Type.Literal('ES384', { description: 'ECDSA on P-384.' }),
        Type.Literal('ES512', { description: 'ECDSA on P-521.' }),
        Type.Literal('EdDSA', { description: 'Ed25519.' }),
        Type.Literal('RS256', { description: 'RSA, for services that know nothing else.' }),
        Type.Literal('PS256', { description: 'RSA with PSS padding.' }),
        Type.Literal('HS256', {
          description:
            'A shared secret: only the gateways can verify their tokens, and there are no public keys.'
        })
      ],
      {
        description:
          'The algorithm of new signing keys: of the first one, and of those that `toll key rotate` makes. Keys that are there stay what they are.',
        default: 'ES256'
      }
    )
  },
  { additionalProperties: false, default: {}, description: 'The keys that sign and verify tokens.' }
)
