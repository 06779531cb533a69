import { Type } from '@sinclair/typebox'
import { Duration } from '../../../config/units.ts'
import { hostAndPort } from '../address.ts'
import { tlsFields } from '../tls-slice.ts'

const closed = { additionalProperties: false } as const

const words = (names: Readonly<Record<string, string>>, options: { default?: string; description: string }) =>
  Type.Union(
    Object.entries(names).map(([name, description]) => Type.Literal(name, { description })),
    options
  )

export const kafkaFields = {
  brokers: Type.Array(
    Type.String({
      description: 'host:port of a broker.',
      pattern: hostAndPort,
      maxLength: 260,
      examples: ['10.0.0.1:9092']
    }),
    { description: 'Brokers to ask first; the others are found through them.', minItems: 1, maxItems: 32 }
  ),
  topic: Type.String({
    description: 'The topic. It has to be there, or brokers have to make it by themselves.',
    pattern: '^[A-Za-z0-9._-]{1,249}$'
  }),
  clientId: Type.String({
    default: 'tollkeeper',
    description: 'What brokers call this client.',
    pattern: '^[A-Za-z0-9._-]{1,249}$'
  }),
  acks: Type.Union(
    [
      Type.Literal(-1, { description: 'All replicas in sync have the lines.' }),
      Type.Literal(0, { description: 'Nobody is waited for; lines that get lost are counted as sent.' }),
      Type.Literal(1, { description: 'The leader has the lines.' })
    ],
    { default: -1, description: 'When lines count as sent.' }
  ),
  compression: words(
    { none: 'None.', gzip: 'Gzip.' },
    {
      default: 'none',
      description: 'How batches are compressed. Kafka has other codecs, for which the client has none.'
    }
  ),
  key: words(
    {
      none: 'No key: batches go to partitions in turn.',
      client: "The client's address.",
      subject: 'Who is signed in.',
      route: 'The id of the route.',
      requestId: 'The id of the request.'
    },
    {
      default: 'none',
      description:
        'Key of a message: lines of one key are in one partition, in order. Lines without it have no key.'
    }
  ),
  tls: Type.Optional(tlsFields),
  sasl: Type.Optional(
    Type.Object(
      {
        mechanism: words(
          {
            plain: 'RFC 4616: the password goes as it is, so use TLS.',
            'scram-sha-256': 'RFC 7677.',
            'scram-sha-512': 'The same with SHA-512.'
          },
          { description: 'How the gateway shows who it is.' }
        ),
        username: Type.String({ description: 'The user.', minLength: 1, maxLength: 255 }),
        password: Type.String({ description: 'The password.', minLength: 1, maxLength: 1024, secret: true })
      },
      { ...closed, description: 'Signing in to the brokers.' }
    )
  ),
  timeouts: Type.Object(
    {
      connect: Duration({
        default: '2s',
        description: 'How long a connection to a broker may take, TLS included.'
      }),
      request: Duration({ default: '5s', description: 'How long a broker may take to answer.' })
    },
    { ...closed, default: {}, description: 'How long brokers are waited for.' }
  )
} as const
