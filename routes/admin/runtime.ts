import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { NotFound } from '../../errors.ts'
import type { Runtime } from '../../services/runtime/runtime.ts'
import { call } from './call.ts'

const logQuery = Type.Object(
  {
    lines: Type.Integer({
      description: 'How many of the last lines to return.',
      default: 100,
      minimum: 1,
      maximum: 100_000
    })
  },
  { additionalProperties: false }
)

/** The local upstream processes on the admin listener: what runs, and what it has written. */
export function registerRuntime(admin: FastifyInstance, runtime: Runtime): void {
  admin.get('/admin/runtime', call('List the local processes of services.'), () => ({
    processes: runtime.status()
  }))

  admin.get<{ Params: { name: string }; Querystring: { lines: number } }>(
    '/admin/runtime/:name/logs',
    {
      schema: { querystring: logQuery },
      ...call('Show what a process has written last.', { query: { lines: 'How many of the last lines.' } })
    },
    (request) => {
      const { name } = request.params
      const lines = runtime.log(name, request.query.lines)
      if (lines === undefined) throw NotFound(['process', name])
      return { name, lines }
    }
  )
}
