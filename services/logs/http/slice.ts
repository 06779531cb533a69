import { Type } from '@sinclair/typebox'
import { tlsFields } from '../tls-slice.ts'

export const httpFields = {
  url: Type.String({
    description: 'Where batches are sent to by POST. Redirects are not followed.',
    pattern: '^https?://[!-~]{1,2000}$',
    examples: ['https://logs.example/ingest'],
    secret: true
  }),
  format: Type.Union(
    [
      Type.Literal('ndjson', { description: 'One object a line (application/x-ndjson).' }),
      Type.Literal('json', { description: 'An array of objects (application/json).' })
    ],
    { default: 'ndjson', description: 'How the lines of a batch are put together.' }
  ),
  headers: Type.Record(
    Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$" }),
    Type.String({ description: 'Its value.', pattern: '^[\\t\\x20-\\x7e]{0,4096}$', secret: true }),
    {
      default: {},
      description: 'Headers of each request, such as Authorization. Their values are secret.'
    }
  ),
  gzip: Type.Boolean({
    default: false,
    description: 'Whether bodies are compressed (Content-Encoding: gzip).'
  }),
  tls: Type.Optional(tlsFields)
} as const
