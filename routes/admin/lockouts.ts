import type { FastifyInstance } from 'fastify'
import { openIdentity } from '../../services/identity/open.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { Services } from '../../services/services.ts'
import { call } from './call.ts'

/** Who is kept from signing in after too many wrong passwords, for the administrator: list, and let in again. */
export async function registerLockouts(
  admin: FastifyInstance,
  auth: AuthOptions | undefined,
  services: Services
): Promise<void> {
  if (auth === undefined) return
  const identity = await openIdentity(auth, services, (sentence) => admin.log.warn(sentence))

  admin.get('/admin/lockouts', call('List who is kept from signing in.'), async () => {
    const locks = await identity.locks()
    return {
      lockouts: locks.map(({ kind, user, userHash, address, until }) => ({
        kind,
        user,
        user_hash: userHash,
        address,
        until: new Date(until).toISOString()
      }))
    }
  })

  admin.delete<{ Params: { user: string } }>(
    '/admin/lockouts/:user',
    call('Let a user sign in again.', { what: 'lockout.lift' }),
    async ({ params }) => ({
      unlocked: await identity.unlock(params.user)
    })
  )
}
