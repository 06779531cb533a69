import type { FastifyInstance } from 'fastify'
import { Conflict } from '../../errors.ts'
import { call } from './call.ts'
import type { Control } from './control.ts'

/** The processes that serve, and their replacement, one after the other. */
export function registerWorkers(admin: FastifyInstance, control: Control): void {
  const startedAt = new Date(Date.now() - process.uptime() * 1000).toISOString()

  admin.get('/admin/workers', call('List the processes that serve.'), async () => ({
    workers: (await control.crew?.list()) ?? [
      { number: 1, pid: process.pid, state: control.isDraining ? 'leaving' : 'serving', since: startedAt }
    ]
  }))

  admin.post(
    '/admin/workers/restart',
    call('Replace every worker, one after the other, with what is on the disk now.', {
      what: 'workers.restart'
    }),
    async (_request, reply) => {
      if (control.crew === undefined) {
        throw Conflict(
          [
            'One process serves alone. Send it SIGUSR2, and another one takes over; or set "workers" and restart it.'
          ],
          { reason: 'no_workers' }
        )
      }
      try {
        await control.crew.restart()
      } catch (error) {
        throw Conflict([`Nothing was replaced: ${(error as Error).message}.`], { reason: 'restart' })
      }
      return reply.code(202).send({ workers: await control.crew.list() })
    }
  )
}
