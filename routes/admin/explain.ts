import { METHODS, validateHeaderName, validateHeaderValue } from 'node:http'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifyInstance } from 'fastify'
import { BadRequest } from '../../errors.ts'
import { askedRequest, type HeaderLines } from '../table/asked-request.ts'
import { call } from './call.ts'
import { explain, type Serving } from './explanation.ts'

const headerValue = Type.String({ description: 'A value.', maxLength: 16_384 })

const Question = Type.Object(
  {
    method: Type.String({ description: 'Such as GET.', minLength: 1, maxLength: 32 }),
    url: Type.String({
      description: 'The whole URL, or a path with its query.',
      minLength: 1,
      maxLength: 16_384
    }),
    headers: Type.Optional(
      Type.Record(Type.String(), Type.Union([headerValue, Type.Array(headerValue, { maxItems: 100 })]), {
        description: 'By name; a list for one that is sent several times.'
      })
    ),
    address: Type.Optional(
      Type.String({ description: 'Where the request would come from.', pattern: '^[0-9a-fA-F:.]{2,45}$' })
    )
  },
  { additionalProperties: false }
)

type Question = Static<typeof Question>

/** Answers what the gateway would do with a request, and what that rests on; the credential in it is checked for real. */
export function registerExplain(admin: FastifyInstance, serving: Serving): void {
  admin.post(
    '/admin/explain',
    call('Say what the gateway would do with a request, and why.', { role: 'read', body: Question }),
    async ({ body }, reply) => {
      const { method, url, headers, address } = questionOf(body)
      reply.header('cache-control', 'no-store')
      return explain(askedRequest(method, url, linesOf(headers), address), serving)
    }
  )
}

function questionOf(body: unknown): Question {
  if (!Value.Check(Question, body)) {
    const at = Value.Errors(Question, body).First()?.path || '/'
    throw refuse(
      `The value at ${at} is not what belongs there; send {"method": "GET", "url": "/", "headers": {}}.`
    )
  }
  if (!METHODS.includes(body.method.toUpperCase()))
    throw refuse('There is no such HTTP method as "method" says.')
  if (/[^\x21-\x7e]/.test(body.url)) throw refuse('"url" holds what no URL may; encode it.')
  return body
}

function linesOf(headers: Question['headers']): HeaderLines {
  const lines = Object.entries(headers ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, one] as const)
  )
  for (const [name, value] of lines) {
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch {
      // Node's own sentence would repeat the value.
      throw refuse('A header could not be sent as it is.')
    }
  }
  return lines
}

const refuse = (sentence: string) => BadRequest([sentence], { reason: 'body_field' })
