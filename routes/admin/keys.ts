import type { FastifyInstance } from 'fastify'
import type { KeyReport } from '../../services/identity/keys/key-record.ts'
import { openIdentity } from '../../services/identity/open.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { Services } from '../../services/services.ts'
import { call } from './call.ts'

/** The keys on the admin listener: what each does, and revoking one that was stolen. Never a part of a key. */
export async function registerKeys(
  admin: FastifyInstance,
  auth: AuthOptions | undefined,
  services: Services
): Promise<void> {
  if (auth === undefined) return
  const identity = await openIdentity(auth, services, (sentence) => admin.log.warn(sentence))

  admin.get('/admin/keys', call('List the signing keys: what each does, never a part of one.'), async () => ({
    keys: identity.keys.list().map(keyAnswer)
  }))

  admin.delete<{ Params: { kid: string } }>(
    '/admin/keys/:kid',
    call('Revoke a key.', { what: 'key.revoke' }),
    async ({ params: { kid } }, reply) => {
      const { propagated, written } = await identity.revokeKey(kid)
      return reply.code(propagated ? 200 : 202).send({ kid, propagated, written })
    }
  )
}

const keyAnswer = ({ kid, use, alg, state, signFrom, verifyUntil, revokedAt }: KeyReport) => ({
  kid,
  use,
  alg,
  state,
  sign_from: signFrom,
  verify_until: verifyUntil,
  revoked_at: revokedAt
})
