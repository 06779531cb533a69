import { type Static, Type } from '@sinclair/typebox'

/** Where spans go, and of how many requests. */
export const tracesSchema = Type.Object(
  {
    enabled: Type.Boolean({
      default: false,
      description:
        'Whether requests are traced. It needs @opentelemetry/api, sdk-trace-base, resources and exporter-trace-otlp-http beside the gateway.'
    }),
    endpoint: Type.String({
      default: 'http://127.0.0.1:4318/v1/traces',
      pattern: '^https?://[^\\s@?#]+$',
      maxLength: 2000,
      description: 'Where spans are sent to, by OTLP over HTTP (JSON).'
    }),
    sample: Type.Number({
      default: 1,
      minimum: 0,
      maximum: 1,
      examples: [0.1],
      description:
        'Part of the requests that are traced. Where a client sends a traceparent, what that says is done instead.'
    }),
    headers: Type.Record(
      Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$" }),
      Type.String({ description: 'The value of a header.', maxLength: 4000 }),
      {
        default: {},
        maxProperties: 20,
        description: 'Headers for the collector, such as the key it asks for.',
        secret: true
      }
    ),
    serviceName: Type.String({
      default: 'tollkeeper',
      minLength: 1,
      maxLength: 200,
      description: 'What this gateway is called in traces (service.name).'
    })
  },
  { additionalProperties: false, default: {}, description: 'Spans of requests, for OpenTelemetry.' }
)

export type TracesOptions = Static<typeof tracesSchema>
