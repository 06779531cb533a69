import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { BadRequest } from '../../errors.ts'
import type { Identity, RevocationState } from '../../services/identity/identity.ts'
import { openIdentity } from '../../services/identity/open.ts'
import { isSessionId } from '../../services/identity/sessions/refresh-token.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { Services } from '../../services/services.ts'
import { call } from './call.ts'
import { paged, pageOf } from './page.ts'

/**
 * Revoking before the time, for the administrator: a session, all of a user, one token, a client. What is revoked already or was
 * never there is as good as revoked. Returns what health and metrics tell of it; undefined without `auth`.
 */
export async function registerRevocations(
  admin: FastifyInstance,
  auth: AuthOptions | undefined,
  services: Services
): Promise<(() => RevocationState) | undefined> {
  if (auth === undefined) return undefined
  const identity = await openIdentity(auth, services, (sentence) => admin.log.warn(sentence))

  admin.post(
    '/admin/revocations',
    call('Revoke a session, all of a user, one token or a client.', {
      what: 'revocation.add',
      body: Revocation
    }),
    async (request, reply) => {
      const [kind, value] = revocationIn(request.body)
      request.told = { to: `${kind} ${value}`.slice(0, 200) }
      return answer(reply, await revoke[kind](identity, value))
    }
  )

  admin.get('/admin/revocations', call('List what is revoked.', paged), ({ query }) => {
    const { limit, offset } = pageOf(query as Record<string, unknown>)
    const { isFresh, pending, entries } = identity.revocationState()
    const revocations = identity.revocations(offset, limit).map(({ kind, value, until }) => ({
      kind,
      value,
      until: until === undefined ? null : new Date(until).toISOString()
    }))
    return { revocations, entries, fresh: isFresh, pending }
  })

  admin.delete<{ Params: { client: string } }>(
    '/admin/revocations/client/:client',
    call('Let a client sign in again.', { what: 'revocation.lift' }),
    async ({ params: { client } }, reply) => answer(reply, await identity.lift({ kind: 'client', client }))
  )

  return () => identity.revocationState()
}

const named = (description: string) =>
  Type.Optional(Type.String({ description, minLength: 1, maxLength: 512 }))

const Revocation = Type.Object(
  {
    session: named('A session id.'),
    user: named('A user id.'),
    token: named('The `jti` of a token.'),
    client: named('A client id.')
  },
  { additionalProperties: false, description: 'Exactly one of these.' }
)

/** What can be revoked here; each resolves to whether the other gateways know. */
const revoke = {
  session: async (identity: Identity, sid: string) => {
    if (!isSessionId(sid)) throw BadRequest(['"session" is not a session id.'], { reason: 'body_field' })
    return (await identity.end(sid)).propagated
  },
  user: async (identity: Identity, uid: string) => (await identity.endUser(uid)).propagated,
  token: (identity: Identity, jti: string) => identity.revoke({ kind: 'token', jti }),
  client: (identity: Identity, client: string) => identity.revoke({ kind: 'client', client })
} as const

type Kind = keyof typeof revoke

function revocationIn(body: unknown): [Kind, string] {
  const fields = Object.entries(typeof body === 'object' && body !== null ? body : {})
  const [kind = '', value] = fields[0] ?? []
  if (fields.length !== 1 || !Object.hasOwn(revoke, kind)) {
    throw BadRequest(['Send exactly one of "session", "user", "token" (a jti) and "client".'], {
      reason: 'body_field'
    })
  }
  if (typeof value !== 'string' || value === '' || value.length > 512) {
    throw BadRequest([`"${kind}" has to be text of 1 to 512 characters.`], { reason: 'body_field' })
  }
  return [kind as Kind, value]
}

/** 204; or 202 while it is in force at this gateway only. */
const answer = (reply: FastifyReply, propagated: boolean): FastifyReply =>
  propagated ? reply.code(204).send() : reply.code(202).send({ propagated })
