import { type Static, type TProperties, Type } from '@sinclair/typebox'
import { Duration, Size } from '../../config/units.ts'
import { fileFields } from './file/slice.ts'
import { httpFields } from './http/slice.ts'
import { kafkaFields } from './kafka/slice.ts'
import { syslogFields } from './syslog/slice.ts'

const closed = { additionalProperties: false } as const

const name = Type.String({
  description: 'What the log, the metrics and `toll log sinks` call this sink.',
  pattern: '^[a-z0-9][a-z0-9-]{0,31}$',
  examples: ['audit']
})

/** What every sink has besides its name, whatever it is. */
const shared = {
  messages: Type.Boolean({
    default: false,
    description: "Whether the gateway's own messages, of `log.level` or worse, go there as well."
  }),
  sample: Type.Number({
    default: 1,
    minimum: 0,
    maximum: 1,
    description:
      'Share of the requests that were let through and answered below 500 whose line goes there. Every refusal and every 5xx does.'
  }),
  queue: Type.Object(
    {
      maxBytes: Size({
        default: '16MiB',
        description: 'Most bytes of lines that wait for the sink, those under way to it included.'
      }),
      whenFull: Type.Literal('drop-oldest', {
        default: 'drop-oldest',
        description: 'The oldest lines are dropped for new ones, and counted; no request ever waits.'
      })
    },
    { ...closed, default: {}, description: 'What waits while the sink is slow or away.' }
  ),
  batch: Type.Object(
    {
      maxLines: Type.Integer({
        default: 1000,
        minimum: 1,
        maximum: 100_000,
        description: 'Most lines that are handed over at once.'
      }),
      maxBytes: Size({ default: '512KiB', description: 'Most bytes that are handed over at once.' }),
      linger: Duration({
        default: '500ms',
        description: 'How long a line waits for others to go with it; up to 1m.'
      })
    },
    { ...closed, default: {}, description: 'How many lines go together.' }
  ),
  timeout: Duration({
    default: '10s',
    description: 'A batch that is not taken after this time has failed, and is tried again; 100ms to 5m.'
  }),
  flush: Duration({
    default: '5s',
    description: 'How long the gateway, or a config that is replaced, waits for lines to be taken; up to 1m.'
  })
} as const

const sink = <const Kind extends string, Own extends TProperties>(
  kind: Kind,
  about: string,
  own: Own,
  description: string
) =>
  Type.Object(
    { kind: Type.Literal(kind, { description: about }), name, ...own, ...shared },
    { ...closed, description }
  )

const file = sink('file', 'A file that is appended to and rotated.', fileFields, 'Lines in a file.')
const kafka = sink(
  'kafka',
  'A topic of Apache Kafka; needs the package `kafkajs` beside the gateway.',
  kafkaFields,
  'Lines as messages in Kafka.'
)
const http = sink('http', 'Batches by POST.', httpFields, 'Lines for a collector that speaks HTTP.')
const syslog = sink('syslog', 'RFC 5424 over UDP, TCP or TLS.', syslogFields, 'Lines for a syslog server.')

/** The key `log.sinks`. */
export const sinksSchema = Type.Array(Type.Union([file, kafka, http, syslog], { description: 'One sink.' }), {
  default: [],
  maxItems: 16,
  description: 'Where the access log goes besides standard output; each has a queue of its own.'
})

export type SinkOptions = Static<typeof sinksSchema>[number]
export type SinkKind = SinkOptions['kind']
export type FileOptions = Static<typeof file>
export type KafkaOptions = Static<typeof kafka>
export type HttpOptions = Static<typeof http>
export type SyslogOptions = Static<typeof syslog>
