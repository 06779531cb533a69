import fastifyCors from '@fastify/cors'
import { Type } from '@sinclair/typebox'
import { definePlugin } from './plugin.ts'

/** Answers browsers' cross-origin questions for listed origins; without origins it leaves CORS to the upstreams. */
export const cors = definePlugin({
  key: 'cors',

  slice: Type.Object(
    {
      origins: Type.Array(
        Type.String({
          description: 'An origin such as "https://app.example", compared exactly.',
          pattern: '^https?://[^/*]+$'
        }),
        { default: [], maxItems: 1000, description: 'Origins that may read answers. Never a wildcard.' }
      ),
      methods: Type.Array(Type.String({ description: 'A method name.', pattern: '^[A-Z]+$' }), {
        default: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
        description: 'Methods a preflight allows.'
      }),
      headers: Type.Array(Type.String({ description: 'A header name.', maxLength: 100 }), {
        default: ['authorization', 'content-type', 'x-request-id'],
        description: 'Request headers a preflight allows.'
      }),
      expose: Type.Array(Type.String({ description: 'A header name.', maxLength: 100 }), {
        default: ['x-request-id', 'ratelimit', 'ratelimit-policy', 'retry-after'],
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
    { additionalProperties: false, default: {}, description: 'Cross-origin requests from browsers.' }
  ),

  async setup(app, { origins, methods, headers, expose, credentials, maxAge }) {
    if (origins.length === 0) return undefined
    const settings = {
      origin: origins,
      methods,
      allowedHeaders: headers,
      exposedHeaders: expose,
      credentials,
      maxAge,
      preflight: true
    }
    const off = { origin: false }
    await app.register(fastifyCors, {
      // OPTIONS that is no preflight (Fetch 4.8 needs both headers) is an ordinary request and goes its way.
      delegator: (request, callback) => {
        const plain =
          request.method === 'OPTIONS' &&
          (request.headers.origin === undefined ||
            request.headers['access-control-request-method'] === undefined)
        callback(null, plain ? off : settings)
      }
    })
    return undefined
  }
})
