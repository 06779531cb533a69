import type { FastifyInstance } from 'fastify'
import { Conflict } from '../../errors.ts'
import { call } from './call.ts'
import type { Control } from './control.ts'

/** The processes that serve, and their replacement, one after the other. */
export function registerWorkers(admin: FastifyInstance, control: Control): void {
  const { crew, upgrade } = control.processes
  const startedAt = new Date(Date.now() - process.uptime() * 1000).toISOString()

  admin.get('/admin/workers', call('List the processes that serve.'), async () => ({
    workers: (await crew?.list()) ?? [
      { number: 1, pid: process.pid, state: control.isDraining ? 'leaving' : 'serving', since: startedAt }
    ]
  }))

  admin.post(
    '/admin/workers/restart',
    call('Replace every worker, one after the other, with what is on the disk now.', {
      what: 'workers.restart'
    }),
    async (_request, reply) => {
      if (crew === undefined) {
        throw Conflict(
          [
            'One process serves alone. "toll upgrade" has another one take over; or set "workers" and restart it.'
          ],
          { reason: 'no_workers' }
        )
      }
      try {
        await crew.restart()
      } catch (error) {
        throw Conflict([`Nothing was replaced: ${(error as Error).message}.`], { reason: 'restart' })
      }
      return reply.code(202).send({ workers: await crew.list() })
    }
  )

  admin.post(
    '/admin/upgrade',
    call('Start what is on the disk now as another process, which takes over.', { what: 'upgrade' }),
    async () => {
      if (upgrade === undefined) {
        throw Conflict(['This gateway was not started with "toll start": end it and start it anew.'], {
          reason: 'upgrade'
        })
      }
      try {
        return { pid: await upgrade() }
      } catch (error) {
        throw Conflict(
          [
            `No other process took over, this one serves on: ${(error as Error).message}. Its last words are where the gateway's standard error goes.`
          ],
          { reason: 'upgrade' }
        )
      }
    }
  )
}
