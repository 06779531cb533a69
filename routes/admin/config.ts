import type { FastifyInstance } from 'fastify'
import { BadRequest } from '../../errors.ts'
import { call } from './call.ts'
import type { Control } from './control.ts'

/** The config as it was written (nothing interpolated, secrets masked), and reading it again. */
export function registerConfig(admin: FastifyInstance, control: Control): void {
  admin.get(
    '/admin/config',
    call('Show the config that serves, as it was written, secrets masked.'),
    async (_request, reply) => {
      const { revision, redacted } = control.config
      return reply.header('etag', `"${revision}"`).header('cache-control', 'no-store').send(redacted)
    }
  )

  admin.post(
    '/admin/config/reload',
    call('Read the config file again.', { what: 'config.reload' }),
    async () => {
      const result = await control.reload('the admin API asked')
      if (result.outcome === 'refused') {
        throw BadRequest([`The config was refused, the old one serves on.\n${result.mistakes}`], {
          reason: 'config_refused'
        })
      }
      return result
    }
  )
}
