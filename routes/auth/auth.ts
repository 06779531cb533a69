import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { InvalidGrant, isProblem } from '../../errors.ts'
import { bearerOf } from '../../plugins/authenticate/bearer.ts'
import { signAccess } from '../../plugins/authenticate/jwt.ts'
import { authenticateStep } from '../../plugins/authenticate/step.ts'
import { guardedAs } from '../../plugins/door-limit.ts'
import { accessOf } from '../../services/identity/access.ts'
import { missing } from '../../services/identity/challenge.ts'
import type { Caller, Grant, Identity } from '../../services/identity/identity.ts'
import { openIdentity } from '../../services/identity/open.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { Verified } from '../../services/identity/tokens/verifier.ts'
import type { Services } from '../../services/services.ts'
import { meAnswer, sessionAnswer, spell, tokenAnswer } from './answers.ts'
import { clientField, refreshTokenField, takeBodies, textField } from './body.ts'
import { jwksPath } from './doors.ts'
import { refuseOtherMethods } from './methods.ts'

const bodyLimit = 8192
const maxAgentLength = 160

/** The doors for users: sign in, refresh, sign out, see who and where one is signed in, and the public keys. */
export async function registerAuth(
  app: FastifyInstance,
  auth: AuthOptions | undefined,
  services: Services
): Promise<void> {
  if (auth === undefined) return
  const identity = await openIdentity(auth, services, (sentence) => app.log.warn(sentence))
  if (auth.unsafeGet) app.log.warn('"auth.unsafeGet" is on: any page can sign out a user by a link.')
  await app.register(async (doors) => {
    await takeBodies(doors, bodyLimit)
    const closeOthers = refuseOtherMethods(doors)
    tokenDoors(doors, auth, identity)
    userDoors(doors, auth, identity)
    keyDoor(doors, identity)
    closeOthers()
  })
}

/** Doors that give or take tokens: never cached, small bodies only. */
function tokenDoors(app: FastifyInstance, auth: AuthOptions, identity: Identity): void {
  const { paths, fields, unsafeGet } = auth
  const method = unsafeGet ? ['POST', 'GET'] : ['POST']
  const answer = async (reply: FastifyReply, grant: Grant) =>
    noStore(reply).send(spell(fields, tokenAnswer(grant, await signAccess(reply, identity, grant.claims))))

  if (identity.hasUsers) {
    app.post(paths.login, { bodyLimit, config: guardedAs(app, 'login') }, async (request, reply) => {
      const name = textField(request.body, 'username')
      const password = textField(request.body, 'password')
      return answer(
        reply,
        await identity.login(name, password, {
          ...callerOf(request),
          client: clientField(request.body),
          isGone: () => reply.raw.destroyed
        })
      )
    })

    app.route({
      url: paths.refresh,
      method,
      bodyLimit,
      config: guardedAs(app, 'refresh'),
      handler: async (request, reply) => {
        const token = refreshTokenField(request.body) ?? bearerOf(request.raw)
        if (token === undefined) textField(request.body, 'refresh_token')
        return answer(reply, await identity.refresh(token!, clientField(request.body)))
      }
    })
  }

  app.route({
    url: paths.logout,
    method,
    bodyLimit,
    handler: async (request, reply) => {
      const { propagated } = await identity.end(await sessionToEnd(request, reply))
      return ended(reply, propagated)
    }
  })

  // A token that is in date may always end its own session, also while nobody knows what else was ended.
  const onRequest = signedIn(identity, { ...auth, onStale: 'open' })

  async function sessionToEnd(request: FastifyRequest, reply: FastifyReply): Promise<string> {
    const token = refreshTokenField(request.body)
    const bearer = bearerOf(request.raw)
    const shown = token ?? (bearer?.startsWith('tlr1.') ? bearer : undefined)
    if (bearer !== undefined && bearer !== shown) {
      try {
        await onRequest(request, reply)
        return principalOf(request).session!
      } catch (refusal) {
        // Whoever signs out after the access token has expired shows the refresh token as well, and that is enough.
        if (shown === undefined || !isProblem(refusal) || refusal.statusCode !== 401) throw refusal
      }
    }
    if (shown === undefined) throw missing()
    const session = identity.sessionOf(shown)
    if (session === undefined) throw InvalidGrant([], { reason: 'refresh.malformed' })
    return session
  }

  app.post(paths.logoutAll, { bodyLimit, onRequest }, async (request, reply) => {
    const { propagated } = await identity.endUser(principalOf(request).subject)
    return ended(reply, propagated)
  })
}

/** Doors for who is signed in. */
function userDoors(app: FastifyInstance, auth: AuthOptions, identity: Identity): void {
  const { paths, fields } = auth
  const onRequest = signedIn(identity, auth)

  app.get(paths.me, { onRequest }, async (request, reply) =>
    noStore(reply).send(spell(fields, meAnswer(principalOf(request))))
  )

  app.get(paths.sessions, { onRequest }, async (request, reply) => {
    const { subject, session: current } = principalOf(request)
    const sessions = await identity.list(subject)
    return noStore(reply).send({
      sessions: sessions.map((session) =>
        spell(fields, { ...sessionAnswer(session), current: session.sid === current })
      )
    })
  })

  app.delete<{ Params: { sid: string } }>(`${paths.sessions}/:sid`, { onRequest }, async (request, reply) => {
    const { sid } = await identity.sessionFor(principalOf(request).subject, request.params.sid)
    const { propagated } = await identity.end(sid)
    return ended(reply, propagated)
  })
}

function keyDoor(app: FastifyInstance, identity: Identity): void {
  app.get(jwksPath, async (request, reply) => {
    const { body, etag } = identity.keys.jwks()
    reply.header('cache-control', 'public, max-age=300').header('etag', etag)
    if (isKnown(request.headers['if-none-match'], etag)) return reply.code(304).send()
    return reply.type('application/jwk-set+json').send(body)
  })
}

/** RFC 9110 13.1.2: a list of tags, compared without their `W/` (a compressing cache on the way adds it), or `*`. */
const isKnown = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch?.split(',').some((tag) => ['*', etag].includes(tag.trim().replace(/^W\//, ''))) ?? false

/** The hook of doors for signed-in users only. */
function signedIn(identity: Identity, auth: AuthOptions) {
  const step = authenticateStep(identity, accessOf('required', auth.audience, auth.onStale), auth)
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => step(request, reply)
}

const principalOf = (request: FastifyRequest): Verified => request.exchange.principal as Verified

function callerOf({ exchange, headers }: FastifyRequest): Caller {
  return { address: exchange.client, agent: (headers['user-agent'] ?? '').slice(0, maxAgentLength) }
}

const noStore = (reply: FastifyReply): FastifyReply => reply.header('cache-control', 'no-store')

/** 204; or 202 while the other gateways could not be told yet. */
const ended = (reply: FastifyReply, propagated: boolean): FastifyReply =>
  propagated ? reply.code(204).send() : reply.code(202).send({ propagated })
