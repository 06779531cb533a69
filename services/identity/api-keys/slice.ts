import { type Static, Type } from '@sinclair/typebox'

/** The key `auth.apiKeys`: where the keys of programs are kept, and which header brings one. */
export const apiKeysSlice = Type.Optional(
  Type.Object(
    {
      path: Type.String({
        description: 'The file with the keys, relative to the config file. `toll apikey add` writes it.',
        default: 'api-keys.json',
        minLength: 1,
        maxLength: 4096
      }),
      header: Type.String({
        description: 'The request header that brings a key. No service ever sees it.',
        default: 'x-api-key',
        pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"
      })
    },
    {
      additionalProperties: false,
      description: 'Keys for programs, taken on routes whose `auth.credentials` name "api-key".'
    }
  )
)

export type ApiKeysOptions = NonNullable<Static<typeof apiKeysSlice>>
