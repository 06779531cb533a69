import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import {
  BadRequest,
  Forbidden,
  InvalidCredentials,
  InvalidGrant,
  PasswordChangeNeeded,
  RequestTimeout,
  SessionLimit,
  StoreUnavailable,
  UsersUnavailable
} from '../../errors.ts'
import { challenge } from './challenge.ts'
import type { Endings } from './endings.ts'
import type { Caller, IdentityParts } from './parts.ts'
import type { Presented, Rotated } from './sessions/provider.ts'
import {
  newSessionId,
  type RefreshToken,
  takeRefreshToken,
  writeRefreshToken
} from './sessions/refresh-token.ts'
import type { AccessClaims } from './tokens/claims.ts'
import type { User, UserSource } from './users/source.ts'

/** What a sign-in or a refresh gives; the access token is these claims, signed by whoever answers the client. */
export interface Grant {
  readonly claims: AccessClaims
  readonly refreshToken: string
  readonly session: string
  /** For a device that is not known yet to show at its next sign-in. */
  readonly device?: string | undefined
  /** Seconds the access token is valid. */
  readonly expiresIn: number
  /** Seconds until the session ends, however much it is used. */
  readonly endsIn: number
}

const passwordMethods: readonly string[] = Object.freeze(['pwd'])

/** Who shows a refresh token. */
export interface RefreshAsker {
  /** The client id they give, when they give one. */
  readonly client?: string | undefined
  readonly isGone?: () => boolean
}

/** Gives out tokens: for a password, and for a refresh token. */
export class SignIn {
  readonly #parts: IdentityParts
  readonly #endings: Endings

  constructor(parts: IdentityParts, endings: Endings) {
    this.#parts = parts
    this.#endings = endings
  }

  /** Signs a user in. The session is always a new one. */
  async login(name: string, password: string, caller: Caller): Promise<Grant> {
    const { users, sessions, keys, revocations, clients, lockOut } = this.#parts
    const { client = clients[0]! } = caller
    if (!clients.includes(client)) {
      throw BadRequest(['"client_id" is not a client of this gateway.'], { reason: 'client' })
    }
    if (revocations.isClientRevoked(client)) throw clientRevoked()
    await keys.ready()
    const attempt = await lockOut.begin(name, caller)
    const user = await users?.verifyCredentials(name, password, { ...caller, client })
    if (user === undefined) {
      throw InvalidCredentials([], { reason: await attempt.failed(), headers: challenge() })
    }
    const device = await attempt.passed()
    if (user.mustChange) throw PasswordChangeNeeded([], { reason: 'password_change' })
    const userHash = keys.hashUser(user.uid)
    // Always a new id: what a caller brought along never becomes a session.
    const sid = newSessionId(userHash)
    const created = await sessions.start({
      sid,
      uid: user.uid,
      userHash,
      stamp: user.stamp,
      leastEpoch: revocations.leastEpoch(userHash),
      methods: [...passwordMethods],
      address: caller.address,
      agent: caller.agent,
      client
    })
    if (created.outcome === 'CAP') throw SessionLimit([], { reason: 'session_cap' })
    const { epoch, now, expiresAt, evicted } = created
    await revocations.add(evicted.map((old) => ({ kind: 'session', sid: old })))
    const session = {
      sid,
      epoch,
      now,
      expiresAt,
      signedInAt: now,
      generation: 0,
      client,
      methods: passwordMethods
    }
    return { ...(await this.#grant(user, session)), device }
  }

  /** Exchanges a refresh token. Shown twice by one who lost the answer it gives the same successor; later it ends the session. */
  async refresh(token: string, { client, isGone }: RefreshAsker = {}): Promise<Grant> {
    const presented = await takeRefreshToken(token, this.#parts.keys)
    if (presented === undefined) throw InvalidGrant([], { reason: 'refresh.malformed' })
    if (isGone !== undefined && (await hasLeft(isGone))) throw RequestTimeout([], { reason: 'client_left' })
    return this.exchange(presented, { client })
  }

  /** The same once the token is known to be one. */
  async exchange(
    { session: sid, generation }: RefreshToken,
    how: Pick<Presented, 'client' | 'isPatient'>
  ): Promise<Grant> {
    const { sessions, users, keys, revocations, activity, warn } = this.#parts
    const askedAt = performance.now()
    // Before its token is spent: without a key to sign with the client keeps the one it has.
    await keys.ready()
    // Asked before its token is spent: the client may be let in again.
    if (revocations.hasRevokedClients) {
      const session = await sessions.read(sid)
      if (session !== undefined && revocations.isClientRevoked(session.client)) throw clientRevoked()
    }
    // Asked before the token is spent: while nobody can tell about the user, the client keeps the one it has.
    if (users?.isRemote) await this.#findOwner(users, sid)
    const rotated = await sessions.rotate({
      sid,
      generation,
      confirmed: activity.confirmed(sid),
      askedAt,
      ...how
    })
    if (!isAlive(rotated)) {
      const { outcome } = rotated
      if (outcome === 'LATE')
        throw StoreUnavailable([], { reason: 'refresh.late', headers: { 'retry-after': '1' } })
      // Also what is gone: the gateway that ended it may have been killed before it told the others.
      const isOver = outcome !== 'CLIENT' && !revocations.isSessionRevoked(sid)
      if (isOver) await this.#endings.void(sid)
      if (outcome === 'REUSE') warn(`A refresh token was used twice; session ${sid} was ended.`)
      throw InvalidGrant([], { reason: `refresh.${outcome.toLowerCase()}` })
    }
    if (rotated.outcome === 'FASTFORWARD') warn(`The store lost a refresh of session ${sid}; it goes on.`)
    if (revocations.isSessionRevoked(sid)) {
      // Ended here while the store was away, or before it lost its memory: that stands.
      await this.#endings.end(sid)
      throw InvalidGrant([], { reason: 'refresh.revoked' })
    }
    const user = await users?.find(rotated.uid, rotated.stamp)
    if (users === undefined) throw UsersUnavailable([], { reason: 'no_users' })
    if (user === undefined || user.stamp !== rotated.stamp) {
      await this.#endings.end(sid)
      throw InvalidGrant([], { reason: user === undefined ? 'refresh.user' : 'refresh.password' })
    }
    activity.note(sid)
    return this.#grant(user, { sid, ...rotated, signedInAt: rotated.createdAt })
  }

  async #findOwner(users: UserSource, sid: string): Promise<void> {
    const session = await this.#parts.sessions.read(sid)
    if (session !== undefined) await users.find(session.uid)
  }

  async #grant(user: User, session: GrantedSession): Promise<Grant> {
    const { issuer, audience, access, keys, now } = this.#parts
    // Again: its key may have been revoked while the store was asked.
    await keys.ready()
    const iat = Math.floor(now() / 1000)
    const endsIn = Math.max(1, Math.floor((session.expiresAt - session.now) / 1000))
    const left = Math.max(1, Math.min(Math.floor(access / 1000), endsIn))
    const claims: AccessClaims = {
      iss: issuer,
      sub: user.uid,
      aud: audience,
      client_id: session.client,
      iat,
      exp: iat + left,
      jti: randomBytes(16).toString('base64url'),
      sid: session.sid,
      ep: session.epoch,
      rg: session.generation,
      scope: user.scopes.join(' '),
      auth_time: Math.floor(session.signedInAt / 1000),
      amr: session.methods,
      ...(user.roles.length > 0 && { roles: user.roles })
    }
    const refreshToken = writeRefreshToken({ session: session.sid, generation: session.generation }, keys)
    return { claims, refreshToken, session: session.sid, expiresIn: left, endsIn }
  }
}

interface GrantedSession {
  readonly sid: string
  readonly epoch: number
  readonly generation: number
  /** Milliseconds by the store's clock, like the two below. */
  readonly now: number
  readonly expiresAt: number
  readonly signedInAt: number
  readonly client: string
  readonly methods: readonly string[]
}

const clientRevoked = (): Error =>
  Forbidden(['This client was revoked: it may not sign in or refresh until that is lifted.'], {
    reason: 'client_revoked'
  })

/**
 * Whether a client left while its request waited: by now it may have repeated it elsewhere and gone on from there, and then this
 * one would look like a thief's. A connection's end is known up to three turns of the event loop after what was sent before it.
 */
async function hasLeft(isGone: () => boolean): Promise<boolean> {
  for (let turns = 0; turns < 3 && !isGone(); turns += 1) await turn()
  return isGone()
}

const isAlive = (rotated: Rotated): rotated is Extract<Rotated, { readonly generation: number }> =>
  rotated.outcome === 'ROTATED' || rotated.outcome === 'REPLAY' || rotated.outcome === 'FASTFORWARD'
