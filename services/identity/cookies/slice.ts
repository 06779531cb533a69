import { Type } from '@sinclair/typebox'

/** The key `auth.cookie`: sign-in for pages in browsers, which must not hold tokens. */
export const cookieSlice = Type.Object(
  {
    origins: Type.Array(
      Type.String({
        description: 'An origin such as "https://app.example", compared exactly.',
        pattern: '^https?://[a-z0-9.\\[\\]:-]+$',
        maxLength: 270
      }),
      {
        description:
          'Origins besides the own one whose pages may change something with a cookie. Each of them may act as the user.',
        default: [],
        maxItems: 100,
        uniqueItems: true
      }
    ),
    refresh: Type.Boolean({
      description:
        'Whether the gateway renews an expired access cookie by itself, in the answer to whatever was asked. Pages need not refresh then.',
      default: false
    })
  },
  {
    additionalProperties: false,
    description:
      'Lets a sign-in with "cookie": true get cookies instead of tokens. Without it the gateway neither sets nor reads one.'
  }
)
