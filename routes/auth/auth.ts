import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { toBytes, toMilliseconds } from '../../config/units.ts'
import { InvalidGrant, isProblem } from '../../errors.ts'
import { bearerOf } from '../../plugins/authenticate/bearer.ts'
import { signAccess } from '../../plugins/authenticate/jwt.ts'
import { authenticateStep } from '../../plugins/authenticate/step.ts'
import { guardedAs } from '../../plugins/door-limit.ts'
import { accessOf } from '../../services/identity/access.ts'
import type { Caller, Grant, Identity } from '../../services/identity/identity.ts'
import { openIdentity } from '../../services/identity/open.ts'
import { takeRefreshToken } from '../../services/identity/sessions/refresh-token.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { Verified } from '../../services/identity/tokens/verifier.ts'
import { cookieOf, deviceCookie } from '../../services/identity/users/device.ts'
import type { Services } from '../../services/services.ts'
import { meAnswer, sessionAnswer, spell, tokenAnswer } from './answers.ts'
import { clientField, refreshTokenField, takeBodies, textField } from './body.ts'
import { CookieDoors } from './cookie-doors.ts'
import { jwksPath } from './doors.ts'
import { refuseOtherMethods } from './methods.ts'

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
    await takeBodies(doors, toBytes(auth.maxBody))
    const closeOthers = refuseOtherMethods(doors)
    const cookies = new CookieDoors(identity, auth)
    tokenDoors(doors, auth, identity, cookies)
    userDoors(doors, auth, identity, cookies)
    keyDoor(doors, identity)
    closeOthers()
  })
}

/** Doors that give or take tokens: never cached, small bodies only. */
function tokenDoors(app: FastifyInstance, auth: AuthOptions, identity: Identity, cookies: CookieDoors): void {
  const { paths, fields, unsafeGet } = auth
  const method = unsafeGet ? ['POST', 'GET'] : ['POST']
  const answer = async (reply: FastifyReply, grant: Grant) =>
    noStore(reply).send(spell(fields, tokenAnswer(grant, await signAccess(reply, identity, grant.claims))))

  if (identity.hasUsers) {
    const deviceAge = toMilliseconds(auth.lockout.device) / 1000
    app.post(paths.login, { config: guardedAs(app, 'login') }, async (request, reply) => {
      const name = textField(request.body, 'username')
      const password = textField(request.body, 'password')
      const wantsCookies = cookies.wants(request)
      const grant = await identity.login(name, password, {
        ...callerOf(request),
        client: clientField(request.body),
        isGone: () => reply.raw.destroyed,
        device: cookieOf(request.headers.cookie, deviceCookie)
      })
      // Not where another site has the browser sign in: the mark of its own user would be gone.
      if (grant.device !== undefined && request.headers['sec-fetch-site'] !== 'cross-site') {
        // For this door only: no service sees it, and no other page can make a browser send it.
        const scope = `Path=${paths.login}; Max-Age=${deviceAge}; HttpOnly; Secure; SameSite=Strict`
        reply.header('set-cookie', `${deviceCookie}=${grant.device}; ${scope}`)
      }
      return wantsCookies ? cookies.give(reply, grant) : answer(reply, grant)
    })

    app.route({
      url: paths.refresh,
      method,
      config: guardedAs(app, 'refresh'),
      handler: async (request, reply) => {
        const token = refreshTokenField(request.body) ?? bearerOf(request.raw)
        const granting = cookies.refresh(request, reply, token !== undefined)
        if (granting !== undefined) return cookies.give(reply, await granting)
        if (token === undefined) textField(request.body, 'refresh_token')
        return answer(
          reply,
          await identity.refresh(token!, {
            client: clientField(request.body),
            isGone: () => request.raw.socket.destroyed
          })
        )
      }
    })
  }

  app.route({
    url: paths.logout,
    method,
    handler: async (request, reply) => {
      const { propagated } = await identity.end(await sessionToEnd(request, reply))
      if (refreshTokenField(request.body) === undefined) cookies.clear(request, reply)
      return ended(reply, propagated)
    }
  })

  // A token that is in date may always end its own session, also while nobody knows what else was ended.
  const onRequest = signedIn(identity, { ...auth, onStale: 'open' })

  async function sessionToEnd(request: FastifyRequest, reply: FastifyReply): Promise<string> {
    const token = refreshTokenField(request.body)
    const bearer = bearerOf(request.raw)
    const shown = token ?? (bearer?.startsWith('tlr1.') ? bearer : undefined)
    if (shown === undefined && bearer === undefined) {
      const session = cookies.sessionToEnd(request)
      if (session !== undefined) return session
    }
    if (shown === undefined || (bearer !== undefined && bearer !== shown)) {
      try {
        await onRequest(request, reply)
        return principalOf(request).session!
      } catch (refusal) {
        // Whoever signs out after the access token has expired shows the refresh token as well, and that is enough.
        if (shown === undefined || !isProblem(refusal) || refusal.statusCode !== 401) throw refusal
      }
    }
    const session = (await takeRefreshToken(shown, identity.keys))?.session
    if (session === undefined) throw InvalidGrant([], { reason: 'refresh.malformed' })
    return session
  }

  app.post(paths.logoutAll, { onRequest }, async (request, reply) => {
    const { propagated } = await identity.endUser(principalOf(request).subject)
    cookies.clear(request, reply)
    return ended(reply, propagated)
  })
}

/** Doors for who is signed in. */
function userDoors(app: FastifyInstance, auth: AuthOptions, identity: Identity, cookies: CookieDoors): void {
  const { paths, fields } = auth
  const onRequest = signedIn(identity, auth)

  app.get(paths.me, { onRequest }, async (request, reply) =>
    noStore(reply).send(
      spell(fields, { ...meAnswer(principalOf(request)), ...cookies.proof(principalOf(request).session) })
    )
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
    const { subject, session: current } = principalOf(request)
    const { sid } = await identity.sessionFor(subject, request.params.sid)
    const { propagated } = await identity.end(sid)
    if (sid === current) cookies.clear(request, reply)
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
  const credentials = auth.cookie === undefined ? (['bearer'] as const) : (['bearer', 'cookie'] as const)
  const access = { ...accessOf('required', auth.audience, auth.onStale), credentials, issuers: ['own'] }
  const step = authenticateStep(identity, access, auth)
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
