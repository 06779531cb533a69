import { STATUS_CODES } from 'node:http'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import {
  BadRequest,
  BodyTooLarge,
  Internal,
  isProblem,
  type Problem,
  RequestTimeout,
  RouteNotFound,
  UnsupportedMediaType
} from '../errors.ts'
import { withoutTokens } from '../services/logs/tokens.ts'
import { definePlugin } from './plugin.ts'

/** Renders every refusal and failure as application/problem+json (RFC 9457), and notes it for the access log. */
export const problem = definePlugin({
  key: 'problem',

  slice: Type.Object(
    {
      base: Type.String({
        default: 'urn:tollkeeper:problem:',
        description: 'Prefix of the `type` URI; the code in kebab-case follows it.',
        maxLength: 200
      })
    },
    { additionalProperties: false, default: {}, description: 'How refusals are written (RFC 9457).' }
  ),

  setup(app, { base }) {
    app.setNotFoundHandler((request) => {
      throw RouteNotFound([request.method, request.exchange.path], { reason: 'route' })
    })
    app.setErrorHandler((error, request, reply) => {
      const problem = toProblem(error)
      note(request, problem)
      // RFC 9110 15.5.2: a 401 always says how one signs in; what the refusal says itself comes after and wins.
      if (problem.statusCode === 401) reply.header('www-authenticate', 'Bearer realm="tollkeeper"')
      for (const name in problem.headers) reply.header(name, problem.headers[name])
      request.exchange.onDebug?.()
      const { status, body } = renderProblem(problem, {
        base,
        path: request.exchange.path,
        requestId: request.id
      })
      // Bytes, because Fastify adds a charset to text, which this media type does not have.
      return reply.code(status).type('application/problem+json').send(Buffer.from(body))
    })
    return undefined
  }
})

export interface ProblemContext {
  readonly base: string
  readonly path: string
  readonly requestId: string
}

/** The one place where a problem becomes bytes; also used for requests that never reached an app. */
export function renderProblem(
  problem: Problem,
  { base, path, requestId }: ProblemContext
): { status: number; body: string } {
  const status = problem.statusCode
  return {
    status,
    body: JSON.stringify({
      type: base + problem.code.toLowerCase().replaceAll('_', '-'),
      title: STATUS_CODES[status],
      status,
      // From 501 on the sentences are ours as well and name at most a service; only a bug (500) stays unexplained.
      // Who put a token into a path gets it from no page and no log of an error, either.
      detail: withoutTokens(problem.message),
      code: problem.code,
      instance: withoutTokens(path),
      requestId,
      ...problem.members
    })
  }
}

/** Whatever was thrown, as a problem: ours as it is, Fastify's own by status, anything else as INTERNAL without a word of it. */
export function toProblem(error: unknown): Problem {
  if (isProblem(error)) return error
  const { statusCode, code } = error as { statusCode?: number; code?: string }
  if (statusCode === 413) return BodyTooLarge(['size'], { reason: 'body_size' })
  if (statusCode === 415)
    return UnsupportedMediaType(['sent', 'application/json'], { reason: 'content_type' })
  if (statusCode === 408) return RequestTimeout([], { reason: 'request_timeout' })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return BadRequest([badRequests[code ?? ''] ?? 'The request could not be read.'], { reason: 'body' })
  }
  return Internal([], { reason: 'internal', cause: error })
}

/** Fastify's own complaints about the bodies of the gateway's doors, in our words. */
const badRequests: Readonly<Record<string, string>> = {
  FST_ERR_CTP_EMPTY_JSON_BODY: 'The body is empty; send a JSON object.',
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body is not valid JSON.',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as Content-Length says.',
  FST_ERR_CTP_BODY_TOO_LARGE: 'The body is too large.'
}

function note(request: FastifyRequest, problem: Problem): void {
  const { exchange } = request
  exchange.verdict = problem.code
  exchange.reason = problem.reason
  // Who is too busy for a request is too busy for a second line about it.
  if (problem.statusCode < 500 || problem.code === 'OVERLOADED') return
  const { cause } = problem
  const fields = {
    requestId: request.id,
    code: problem.code,
    reason: problem.reason,
    cause: causeCode(cause)
  }
  if (problem.fault === 'gateway' && problem.code === 'INTERNAL') request.log.error(fields, 'request failed')
  else request.log.warn(fields, 'request failed')
  // A stack names files of this machine: only where somebody asked for it.
  if (cause instanceof Error) request.log.debug({ requestId: request.id, stack: cause.stack }, 'cause')
}

/** A cause's code or class: enough to search for, and free of addresses and secrets, which messages are not. */
export function causeCode(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined
  const { code } = cause as { code?: unknown }
  return typeof code === 'string' ? code : cause.name
}
