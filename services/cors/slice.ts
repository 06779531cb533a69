import { type Static, Type } from '@sinclair/typebox'

const name = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"

/** What the gateway says for CORS; the same for all routes and for one. */
export const corsSchema = Type.Object(
  {
    origins: Type.Array(
      Type.String({
        description:
          'An origin such as "https://app.example", compared exactly, or "https://*.app.example" for every host one label below it.',
        minLength: 1,
        maxLength: 300
      }),
      {
        default: [],
        maxItems: 1000,
        description: 'Origins that may read answers. Without any, CORS is left to the services.'
      }
    ),
    methods: Type.Array(Type.String({ description: 'A method name.', pattern: '^[A-Z]+$', maxLength: 30 }), {
      default: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      maxItems: 40,
      description: 'Methods a preflight allows.'
    }),
    headers: Type.Array(Type.String({ description: 'A header name.', pattern: name, maxLength: 100 }), {
      default: ['authorization', 'content-type', 'x-request-id'],
      maxItems: 100,
      description: 'Request headers a preflight allows.'
    }),
    expose: Type.Array(Type.String({ description: 'A header name.', pattern: name, maxLength: 100 }), {
      default: ['x-request-id', 'ratelimit', 'ratelimit-policy', 'retry-after'],
      maxItems: 100,
      description: 'Response headers that scripts may read.'
    }),
    credentials: Type.Boolean({ default: false, description: 'Whether cookies may be sent along.' }),
    maxAge: Type.Integer({
      default: 600,
      minimum: 0,
      maximum: 86_400,
      description: 'Seconds a preflight may be cached.'
    })
  },
  { additionalProperties: false, description: 'Cross-origin requests from browsers.' }
)

export type CorsOptions = Static<typeof corsSchema>
