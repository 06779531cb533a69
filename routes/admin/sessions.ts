import type { FastifyInstance, FastifyReply } from 'fastify'
import { BadRequest, NotFound, Unauthenticated } from '../../errors.ts'
import { verifyToken } from '../../plugins/authenticate/step.ts'
import { challenge } from '../../services/identity/challenge.ts'
import { openIdentity } from '../../services/identity/open.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { Services } from '../../services/services.ts'
import { sessionAnswer } from '../auth/answers.ts'
import type { VerifyAdmin } from './admin.ts'
import { call } from './call.ts'
import { paged, pageOf } from './page.ts'

/** Who is signed in, for the administrator: count, list, end. Who may ask is decided by the admin listener. */
export async function registerSessions(
  admin: FastifyInstance,
  auth: AuthOptions | undefined,
  services: Services
): Promise<void> {
  if (auth === undefined) return
  const identity = await openIdentity(auth, services, (sentence) => admin.log.warn(sentence))

  admin.get('/admin/online', call('Count sessions and users.'), () => identity.online())

  admin.get<{ Querystring: Query }>(
    '/admin/sessions',
    call('List sessions, the one used last first.', {
      query: { ...paged.query, user: 'Only those of this user.' }
    }),
    async ({ query }) => {
      const user = userOf(query)
      const { limit, offset } = pageOf(query)
      const sessions = user === undefined ? await identity.page(offset, limit) : await identity.list(user)
      return { sessions: sessions.map(sessionAnswer) }
    }
  )

  admin.delete<{ Params: { sid: string } }>(
    '/admin/sessions/:sid',
    call('End a session.', { what: 'session.kick' }),
    async ({ params: { sid } }, reply) => {
      const { existed, propagated } = await identity.end(sid)
      if (!existed) throw NotFound(['session', sid.slice(0, 64)], { reason: 'session' })
      return ended(reply, propagated)
    }
  )

  admin.delete<{ Params: { uid: string } }>(
    '/admin/users/:uid/sessions',
    call('End every session of a user.', { what: 'user.kick' }),
    async ({ params }, reply) => {
      const { ended: count, propagated } = await identity.endUser(params.uid)
      return reply.code(propagated ? 200 : 202).send({ ended: count, propagated })
    }
  )
}

/** Lets users whose token has the scope `admin` use the admin listener; without `auth` there are no users. */
export async function adminVerifier(
  auth: AuthOptions | undefined,
  services: Services,
  warn: (sentence: string) => void
): Promise<VerifyAdmin> {
  if (auth === undefined) {
    return () => {
      throw Unauthenticated(['The admin token is wrong.'], {
        reason: 'signature',
        headers: challenge('invalid_token')
      })
    }
  }
  const identity = await openIdentity(auth, services, warn)
  return (token) => verifyToken(identity, token, auth.audience)
}

type Query = Readonly<Record<string, unknown>>

function userOf({ user }: Query): string | undefined {
  if (user === undefined || typeof user === 'string') return user
  throw BadRequest(['"user" has to be given once.'], { reason: 'query' })
}

const ended = (reply: FastifyReply, propagated: boolean): FastifyReply =>
  propagated ? reply.code(204).send() : reply.code(202).send({ propagated })
