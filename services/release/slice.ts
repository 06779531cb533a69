import { type Static, Type } from '@sinclair/typebox'
import { Duration, Size } from '../../config/units.ts'

const serviceName = (description: string) => Type.String({ description, minLength: 1, maxLength: 100 })

const percent = (description: string, example: number) =>
  Type.Number({ description, minimum: 0, maximum: 100, examples: [example] })

/** A part of a route's requests that another service answers. */
export const canarySchema = Type.Object(
  {
    service: serviceName('Name of the service that answers them.'),
    percent: percent(
      'How many of a hundred keys are for it. Raising it moves keys to the canary and none back; 0 sends nobody but who asks by `header`.',
      5
    ),
    by: Type.String({
      description:
        'What stays on its side: "subject" (who is signed in, or else the address), "api-key", "address" (IPv6: its /64), "header:<name>", "cookie:<name>", "claim:<name>" (each the address where it is missing), or "request": every request by itself.',
      default: 'subject',
      pattern:
        "^(subject|api-key|address|request|(?:header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}|claim:[^\\s]{1,100})$",
      examples: ['subject', 'address', 'cookie:device', 'header:x-tenant', 'request']
    }),
    header: Type.Optional(
      Type.String({
        description:
          'Header by which a client may choose: "always" takes the canary, "never" does not. Off unless it is named here, for any client can send it.',
        pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$",
        examples: ['x-canary']
      })
    )
  },
  { additionalProperties: false, description: 'A part of the requests that another service answers.' }
)

/** Copies of a route's requests for a service whose answers nobody sees. */
export const mirrorSchema = Type.Object(
  {
    service: serviceName('Name of the service that gets the copies.'),
    percent: Type.Number({
      description: 'How many of a hundred requests are copied.',
      default: 100,
      minimum: 0,
      maximum: 100
    }),
    methods: Type.Array(
      Type.String({ description: 'An HTTP method, upper case.', pattern: '^[A-Z][A-Z-]{0,29}$' }),
      {
        default: ['GET', 'HEAD'],
        minItems: 1,
        maxItems: 40,
        description:
          'Which requests are copied. List a method that changes something only when doing it twice does no harm.'
      }
    ),
    maxBody: Size({
      default: '64KiB',
      description: 'Largest body that is copied; a request with a larger one is not mirrored.'
    }),
    concurrency: Type.Integer({
      default: 32,
      minimum: 1,
      maximum: 10_000,
      description: 'Most copies under way at once at one gateway; what is too many is not mirrored.'
    }),
    timeout: Duration({ default: '5s', description: 'Longest whole exchange with the shadow.' })
  },
  { additionalProperties: false, description: 'Copies of requests for a service whose answers nobody sees.' }
)

/** Who answers for a service that cannot be asked. */
export const fallbackSchema = Type.Object(
  {
    service: Type.Optional(
      serviceName('Name of the service that is asked instead. Its own fallback is not followed.')
    ),
    status: Type.Optional(
      Type.Integer({
        description: 'Status of a fixed answer, in place of `service`.',
        minimum: 200,
        maximum: 599
      })
    ),
    headers: Type.Record(
      Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$" }),
      Type.String({ maxLength: 4096, description: 'A value.' }),
      { default: {}, description: 'Headers of the fixed answer.' }
    ),
    body: Type.String({
      default: '',
      maxLength: 65_536,
      description: 'Body of the fixed answer; text/plain unless `headers` say otherwise.'
    }),
    timeouts: Type.Boolean({
      default: false,
      description:
        'Whether the fallback is also asked when the service takes too long; only for requests that may be sent twice.'
    })
  },
  {
    additionalProperties: false,
    description: 'Who answers while the service cannot be asked: another service, or a fixed answer.'
  }
)

export type CanaryOptions = Static<typeof canarySchema>
export type MirrorOptions = Static<typeof mirrorSchema>
export type FallbackOptions = Static<typeof fallbackSchema>

/** What a route's options say of other services than its own. */
export interface RouteRelease {
  readonly canary?: CanaryOptions
  readonly mirror?: MirrorOptions
}
