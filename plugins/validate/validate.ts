import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Problem, UnsupportedMediaType, ValidationFailed } from '../../errors.ts'
import { type Fault, faultOf } from '../../services/validation/fault.ts'
import { maxDepth, readBody } from '../../services/validation/json-body.ts'
import { compileSchema, type Judge } from '../../services/validation/schema.ts'
import { type ValidateOptions, validateSchema } from '../../services/validation/slice.ts'
import { type Texts, valuesFor } from '../../services/validation/text-values.ts'
import { definePlugin, type Note, type RouteInfo, Untold } from '../plugin.ts'
import { type BodyBounds, hasBody, letGo, readAhead } from './read-body.ts'
import { headerTexts, pathReader, queryTexts } from './texts.ts'

/** Refuses requests that are not as their route's JSON Schemas say. What passes goes on byte for byte as it came. */
export const validate = definePlugin({
  key: 'validate',
  route: Type.Object({ validate: Type.Optional(validateSchema) }),

  setup() {
    return (route) => route.validate && validateStep(route as ValidatedRoute, route.validate)
  }
})

/** Every compiled route has these. */
type ValidatedRoute = RouteInfo & BodyBounds

/** Methods whose requests mostly have no body, and need none. */
const bodiless = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])

function validateStep(route: ValidatedRoute, options: ValidateOptions) {
  const judgeTexts = textJudge(route, options)
  const judge = options.body && compileSchema(options.body)
  const takes = typeJudge(options.contentTypes)
  const wantsBody = (request: FastifyRequest): boolean =>
    judge !== undefined && (hasBody(request.raw) || !bodiless.has(request.raw.method ?? ''))
  const step = (request: FastifyRequest, reply: FastifyReply): void | Promise<void> => {
    judgeTexts(request)
    if (!wantsBody(request)) return undefined
    takes(request)
    return bodyStep(request, reply, route, judge!)
  }
  return Object.assign(step, {
    explain(request: FastifyRequest, note: Note): void {
      const parts = Object.keys(options).filter((key) => key !== 'contentTypes')
      note({ schemas: parts })
      judgeTexts(request)
      if (!wantsBody(request)) return
      takes(request)
      throw new Untold('Only the body itself tells whether it is as its schema says.')
    }
  })
}

async function bodyStep(
  { raw }: FastifyRequest,
  reply: FastifyReply,
  route: BodyBounds,
  judge: Judge
): Promise<void> {
  if (!hasBody(raw)) throw refused({ in: 'body', pointer: '', message: 'is missing' })
  try {
    judgeBody(await readAhead(raw, route), judge)
  } catch (error) {
    letGo(raw, reply.raw)
    throw error
  }
}

function judgeBody(bytes: Buffer, judge: Judge): void {
  if (bytes.length === 0) throw refused({ in: 'body', pointer: '', message: 'is missing' })
  const value = readBody(bytes)
  if (value === undefined) {
    const message = `is not JSON that every reader reads alike: UTF-8 without a byte order mark, at most ${maxDepth} deep, no member twice, none named "__proto__", no number beyond 64 bits of floating point`
    throw refused({ in: 'body', pointer: '', message })
  }
  const error = judge(value)
  if (error !== undefined) throw refused(faultOf('body', error))
}

/** Judges what of a request is text. */
function textJudge(route: RouteInfo, { params, query, headers }: ValidateOptions) {
  const readPath = pathReader(route.path)
  const sources = [
    ['params', params, ({ exchange }: FastifyRequest) => readPath(exchange.path)],
    ['query', query, ({ exchange }: FastifyRequest) => queryTexts(exchange.query)],
    ['headers', headers, ({ raw }: FastifyRequest) => headerTexts(raw.rawHeaders)]
  ] as const
  const judges = sources.flatMap(([part, schema, read]) =>
    schema === undefined ? [] : [{ part, read, values: valuesFor(schema), judge: compileSchema(schema) }]
  )
  return (request: FastifyRequest): void => {
    for (const { part, read, values, judge } of judges) {
      const texts: Texts | undefined = read(request)
      if (texts === undefined)
        throw refused({ in: part, pointer: '', message: 'holds an escape that is none' })
      const error = judge(values(texts))
      if (error !== undefined) throw refused(faultOf(part, error))
    }
  }
}

/** Judges what a body says it is: JSON, in UTF-8, not packed. */
function typeJudge(types: readonly string[]): (request: FastifyRequest) => void {
  const listed = new Set(types)
  return ({ raw }) => {
    const { 'content-type': type, 'content-encoding': encoding } = headerTexts(raw.rawHeaders)
    if (encoding !== undefined) throw unsupported('with a Content-Encoding', types, 'content_encoding')
    if (type === undefined) throw unsupported('none', types, 'content_type')
    const [, name] = typeof type === 'string' ? (mediaType.exec(type) ?? []) : []
    const key = name?.toLowerCase() ?? ''
    if (listed.has(key) || (key.endsWith('+json') && listed.has('application/*+json'))) return
    throw unsupported('sent', types, 'content_type')
  }
}

/** A JSON media type; a charset other than UTF-8 would have the service read other text than was judged (RFC 8259 8.1). */
const mediaType = /^\s*(application\/[a-z0-9.+-]+)\s*(?:;\s*charset=(?:utf-8|"utf-8")\s*)?$/i

const unsupported = (sent: string, types: readonly string[], reason: string): Problem =>
  UnsupportedMediaType([sent, types.join(', ')], { reason })

function refused(fault: Fault): Problem {
  const { in: part, pointer, message } = fault
  const shown = part === 'body' ? fault : { in: part, parameter: nameIn(pointer), message }
  const place =
    part === 'body' ? `the body${pointer === '' ? '' : ` at ${pointer}`}` : `${part} ${nameIn(pointer)}`
  return ValidationFailed([`${place.trim()} ${message}`], {
    reason: `schema.${part}`,
    members: { errors: [shown] }
  })
}

/** The name of the parameter that a pointer leads into. */
const nameIn = (pointer: string): string =>
  (pointer.split('/')[1] ?? '').replaceAll('~1', '/').replaceAll('~0', '~')
