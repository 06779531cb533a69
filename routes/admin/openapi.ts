import { readFileSync } from 'node:fs'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { type Call, call, roleOfCall } from './call.ts'

/** One call of the admin API as it was registered. */
interface Registered {
  readonly method: string
  /** As Fastify writes it: /admin/limits/:id. */
  readonly path: string
  readonly call: Call
}

/**
 * Collects every call of the admin API that is registered from here on, and describes them at /admin/openapi.json (OpenAPI 3.1). One
 * without a summary is refused: nothing is there that the document does not tell of.
 */
export function describeCalls(admin: FastifyInstance): void {
  const calls: Registered[] = []
  admin.addHook('onRoute', ({ method, url, config }: RouteOptions) => {
    // What Fastify adds itself for HEAD is GET's.
    if (method === 'HEAD' || !url.startsWith('/admin')) return
    if (config?.call === undefined) throw new Error(`${String(method)} ${url} says nothing about itself.`)
    for (const one of [method].flat()) calls.push({ method: one, path: url, call: config.call })
  })
  let document: object | undefined
  admin.get('/admin/openapi.json', call('Describe this API.'), () => {
    document ??= documentOf(calls)
    return document
  })
}

function documentOf(calls: readonly Registered[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const one of calls) {
    const path = one.path.replaceAll(parameter, (_, name?: string) => `{${name ?? 'rest'}}`)
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: operationOf(one) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Tollkeeper admin API', version: versionHere() },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: problem },
      responses: {
        Problem: {
          description: 'Why not (RFC 9457).',
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }
        }
      }
    }
  }
}

const parameter = /:(\w+)|\*/g

function operationOf({ method, path, call }: Registered): object {
  const { summary, body, query = {}, takes = ['application/json'], ifMatch } = call
  const inPath = [...path.matchAll(parameter)].map(([, name = 'rest']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' }
  }))
  const inQuery = Object.entries(query).map(([name, description]) => ({
    name,
    in: 'query',
    description,
    schema: { type: 'string' }
  }))
  const precondition = {
    name: 'If-Match',
    in: 'header',
    required: ifMatch === 'required',
    description: 'The ETag of GET /admin/config that this is meant for.',
    schema: { type: 'string' }
  }
  const refusals = ['401', '403', '429', ...(ifMatch === undefined ? [] : ['412']), 'default']
  return {
    operationId: [
      method.toLowerCase(),
      ...path
        .replace('*', 'rest')
        .split(/[^A-Za-z]+/)
        .filter(Boolean)
    ].join('-'),
    summary,
    'x-role': roleOfCall(method, call),
    parameters: [...inPath, ...inQuery, ...(ifMatch === undefined ? [] : [precondition])],
    ...(body !== undefined && {
      requestBody: {
        required: true,
        content: Object.fromEntries(takes.map((type) => [type, { schema: body }]))
      }
    }),
    responses: {
      '2XX': { description: 'Done.' },
      ...Object.fromEntries(refusals.map((status) => [status, { $ref: '#/components/responses/Problem' }]))
    }
  }
}

const problem = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'instance', 'requestId'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', description: 'Upper snake case, as docs/errors.md lists them.' },
    instance: { type: 'string' },
    requestId: { type: 'string' }
  }
}

function versionHere(): string {
  const file = new URL('../../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
