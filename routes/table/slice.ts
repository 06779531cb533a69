import { type Static, Type } from '@sinclair/typebox'
import { Duration, Size } from '../../config/units.ts'
import { mirrorSchema } from '../../services/release/slice.ts'

const condition = (what: string) =>
  Type.Record(Type.String({ minLength: 1, maxLength: 200 }), Type.String({ maxLength: 1000 }), {
    default: {},
    description: `${what} that must be there, by name: an exact value, or "*" for any.`
  })

const rewrite = Type.Object(
  {
    stripPrefix: Type.Optional(
      Type.String({
        description: 'Taken off the front of the path, whole segments only.',
        pattern: '^/',
        maxLength: 1000
      })
    ),
    addPrefix: Type.Optional(
      Type.String({
        description: 'Put in front of the path, after stripPrefix.',
        pattern: '^/',
        maxLength: 1000
      })
    ),
    replace: Type.Optional(
      Type.Object(
        {
          pattern: Type.String({
            description: 'A regular expression over the path; simple ones only, see the rules for "~" paths.',
            minLength: 1,
            maxLength: 200
          }),
          with: Type.String({
            description: 'What replaces the match; $1 to $9 are its groups.',
            maxLength: 1000
          })
        },
        { additionalProperties: false, description: 'A replacement by regular expression, done last.' }
      )
    )
  },
  {
    additionalProperties: false,
    default: {},
    description: 'How the path changes on its way to the service. Location headers are rewritten back.'
  }
)

/** What every route has; plugins add their own fragments to it. */
export const routeSlice = Type.Object(
  {
    id: Type.String({
      description: 'Name of the route in logs, metrics and refusals; unique.',
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$',
      maxLength: 100
    }),
    path: Type.String({
      description:
        'Literal ("/orders"), with parameters ("/orders/:id"), a wildcard for the rest ("/orders/*", which takes "/orders" too), or a regular expression behind "~" ("~^/v[0-9]+/x$").',
      pattern: '^(?:/|~\\^/)',
      maxLength: 1000,
      examples: ['/orders/*', '/users/:id', '~^/v[0-9]+/status$']
    }),
    methods: Type.Array(
      Type.String({ description: 'An HTTP method, upper case.', pattern: '^[A-Z][A-Z-]{0,29}$' }),
      {
        default: [],
        maxItems: 40,
        description:
          'Methods the route takes; none listed means any. HEAD is served where GET is. A service whose routes list methods gets no X-HTTP-Method-Override.'
      }
    ),
    hosts: Type.Array(
      Type.String({
        description: 'A host name without port, or "*.example.com" for everything under it.',
        minLength: 1,
        maxLength: 260
      }),
      {
        default: [],
        maxItems: 200,
        description: 'Hosts the route is for; none listed means any.'
      }
    ),
    headers: condition('Request headers'),
    query: condition('Query parameters'),
    service: Type.String({
      description: 'Name of the service that answers.',
      minLength: 1,
      maxLength: 100
    }),
    rewrite,
    forwardAuthorization: Type.Boolean({
      default: false,
      description: "Whether the client's Authorization header is sent on to the service."
    }),
    preserveHost: Type.Boolean({
      default: false,
      description:
        "Whether the service sees the client's Host; otherwise it sees its own, and the client's in X-Forwarded-Host."
    }),
    allowEncoded: Type.Boolean({
      default: false,
      description:
        'Lets escaped slashes, backslashes and dots in the path through as they are. Dot segments and NUL stay refused.'
    }),
    maxBody: Size({
      default: '64MiB',
      description: 'Largest request body the route takes; more is answered with 413.'
    }),
    timeouts: Type.Object(
      {
        response: Type.Optional(
          Duration({ description: "Longest wait for the head of the answer; the service's when left out." })
        ),
        idle: Type.Optional(
          Duration({ description: "Longest silence within a body; the service's when left out." })
        )
      },
      {
        additionalProperties: false,
        default: {},
        description: "What this route waits for, in place of the service's timeouts."
      }
    ),
    mirror: Type.Optional(mirrorSchema)
  },
  { additionalProperties: false, description: 'One route: which requests it takes and who answers them.' }
)

/** The key `routes`. */
export const routesSlice = {
  key: 'routes',
  slice: Type.Array(routeSlice, {
    default: [],
    maxItems: 20_000,
    description:
      'Which requests go to which service. Host first (exact, then wildcard, then any), then segment by segment literal, parameter, wildcard, then regular expressions; then routes that list methods, more headers, more query parameters.'
  })
} as const

export type RouteOptions = Static<typeof routeSlice>
