import { randomBytes } from 'node:crypto'
import { InvalidCredentials, InvalidGrant, NotFound, SessionLimit, UsersUnavailable } from '../../errors.ts'
import { Activity } from './activity.ts'
import { challenge } from './challenge.ts'
import type { AccessClaims } from './claims.ts'
import type { Reason } from './compact.ts'
import type { KeyRing } from './key-ring.ts'
import { isSessionId, readRefreshToken, userHashOf, writeRefreshToken } from './refresh-token.ts'
import type { RevocationReason, Revocations } from './revocations.ts'
import type { Online } from './sessions/online.ts'
import type { SessionRecord } from './sessions/records.ts'
import type { Rotated } from './sessions/rotate.ts'
import type { Sessions } from './sessions/sessions.ts'
import type { Access } from './slice.ts'
import type { User, UserSource } from './users.ts'
import type { Verified, Verifier } from './verifier.ts'

/** Why a token does not let a request pass. `stale` and `store`: nobody can tell at the moment. */
export type Refusal = Reason | RevocationReason | 'claims.sid' | 'revoked.gone' | 'stale' | 'store'

export interface Caller {
  readonly address: string
  readonly agent: string
}

/** What a sign-in or a refresh gives; the access token is these claims, signed by whoever answers the client. */
export interface Grant {
  readonly claims: AccessClaims
  readonly refreshToken: string
  readonly session: string
  /** Seconds the access token is valid. */
  readonly expiresIn: number
}

export interface IdentityParts {
  readonly issuer: string
  readonly audience: string
  /** Milliseconds. */
  readonly access: number
  /** Milliseconds. */
  readonly idle: number
  readonly keys: KeyRing
  readonly users: UserSource | undefined
  readonly verifier: Verifier
  readonly sessions: Sessions
  readonly revocations: Revocations
  readonly now: () => number
  readonly warn: (sentence: string) => void
}

/** Who is who: signs users in, keeps their sessions, and says of every token whether it still holds. */
export class Identity {
  readonly keys: KeyRing
  readonly #parts: IdentityParts
  readonly #activity: Activity

  constructor(parts: IdentityParts) {
    this.keys = parts.keys
    this.#parts = parts
    this.#activity = new Activity(parts.sessions, parts.idle, parts.now)
    parts.users?.onChanged((uid, stamp) => void this.#endOutdated(uid, stamp))
  }

  /** Whether anybody can sign in here. */
  get hasUsers(): boolean {
    return this.#parts.users !== undefined
  }

  /** Checks a token as a route asks for it; without a store call wherever the route allows that. */
  check(
    token: string,
    access: Pick<Access, 'session' | 'audience'>
  ): Verified | Refusal | Promise<Verified | Refusal> {
    const { verifier, revocations } = this.#parts
    const verified = verifier.verify(token, access.audience)
    if (typeof verified === 'string') return verified
    const { session } = verified
    if (access.session === 'stateless') {
      if (session !== undefined) this.#activity.note(session)
      return verified
    }
    if (session === undefined || !isSessionId(session)) return 'claims.sid'
    const revoked = revocations.find(verified)
    if (revoked !== undefined) return revoked
    if (access.session === 'strict' || !this.#isAwake(session, verified)) return this.#ask(session, verified)
    if (revocations.isStale()) return 'stale'
    this.#activity.note(session)
    return verified
  }

  /** Signature and claims only: what nobody but the token itself can tell. */
  checkStateless(token: string, audience: string): Verified | Refusal {
    return this.#parts.verifier.verify(token, audience)
  }

  /** Signs a user in. The session is always a new one. */
  async login(name: string, password: string, caller: Caller): Promise<Grant> {
    const { users, sessions, revocations } = this.#parts
    const user = await users?.verifyCredentials(name, password)
    if (user === undefined) throw InvalidCredentials([], { reason: 'credentials', headers: challenge() })
    const userHash = this.keys.hashUser(user.uid)
    const created = await sessions.create({
      uid: user.uid,
      userHash,
      stamp: user.stamp,
      leastEpoch: revocations.leastEpoch(userHash),
      ...caller
    })
    if (created.outcome === 'CAP') throw SessionLimit([], { reason: 'session_cap' })
    const { sid, epoch, now, expiresAt, evicted } = created
    await revocations.add(evicted.map((old) => ({ kind: 'session', sid: old })))
    await this.#tellOnline(sid, evicted)
    return this.#grant(user, { sid, epoch, now, expiresAt, signedInAt: now, generation: 0 })
  }

  /** Exchanges a refresh token. Shown twice by one who lost the answer it gives the same successor; later it ends the session. */
  async refresh(token: string): Promise<Grant> {
    const { sessions, users, warn } = this.#parts
    const presented = readRefreshToken(token, this.keys)
    if (presented === undefined) throw InvalidGrant([], { reason: 'refresh.malformed' })
    const { session: sid, generation } = presented
    const rotated = await sessions.rotate(sid, generation)
    if (!isAlive(rotated)) {
      const { outcome } = rotated
      if (outcome !== 'GONE') await this.#void(sid, rotated.remaining)
      if (outcome === 'REUSE') warn(`A refresh token was used twice; session ${sid} was ended.`)
      throw InvalidGrant([], { reason: `refresh.${outcome.toLowerCase()}` })
    }
    if (rotated.outcome === 'FASTFORWARD') warn(`The store lost a refresh of session ${sid}; it goes on.`)
    if (this.#parts.revocations.isSessionRevoked(sid)) {
      // Ended here while the store was away, or before it lost its memory: that stands.
      await this.end(sid)
      throw InvalidGrant([], { reason: 'refresh.revoked' })
    }
    const user = await users?.find(rotated.uid)
    if (users === undefined) throw UsersUnavailable([], { reason: 'no_users' })
    if (user === undefined || user.stamp !== rotated.stamp) {
      await this.end(sid)
      throw InvalidGrant([], { reason: user === undefined ? 'refresh.user' : 'refresh.password' })
    }
    this.#activity.note(sid)
    return this.#grant(user, { sid, ...rotated, signedInAt: rotated.createdAt })
  }

  /** The session a refresh token belongs to, if this gateway wrote the token. */
  sessionOf(refreshToken: string): string | undefined {
    return readRefreshToken(refreshToken, this.keys)?.session
  }

  /** Ends one session, its refresh token and its access tokens; false when there was none. */
  async end(sid: string): Promise<{ readonly existed: boolean; readonly propagated: boolean }> {
    if (!isSessionId(sid)) return { existed: false, propagated: true }
    const { existed, remaining } = await this.#parts.sessions.end(sid)
    return { existed, propagated: await this.#void(sid, remaining) }
  }

  /** Ends every session of a user and voids every token they have; how many there were. */
  async endUser(uid: string): Promise<{ readonly ended: number; readonly propagated: boolean }> {
    const { sessions, revocations } = this.#parts
    const userHash = this.keys.hashUser(uid)
    const { epoch, sessions: ended } = await sessions.endUser(userHash, revocations.leastEpoch(userHash))
    const propagated = await revocations.add([
      { kind: 'user', userHash, epoch },
      ...ended.map((sid) => ({ kind: 'session', sid }) as const)
    ])
    for (const sid of ended) this.#activity.forget(sid)
    await sessions.markOffline(ended.map((sid) => [sid, 0] as const)).catch(() => {})
    return { ended: ended.length, propagated }
  }

  /** One session of a user; rejects with NotFound when it is not theirs. */
  async sessionFor(uid: string, sid: string): Promise<SessionRecord> {
    const isTheirs = isSessionId(sid) && userHashOf(sid) === this.keys.hashUser(uid)
    const session = isTheirs ? await this.#parts.sessions.read(sid) : undefined
    if (session === undefined) throw NotFound(['session', sid.slice(0, 64)], { reason: 'session' })
    return session
  }

  list(uid: string): Promise<readonly SessionRecord[]> {
    return this.#parts.sessions.list(this.keys.hashUser(uid))
  }

  page(offset: number, limit: number): Promise<readonly SessionRecord[]> {
    return this.#parts.sessions.page(offset, limit)
  }

  online(): Promise<Online> {
    return this.#parts.sessions.online()
  }

  /** Tells the store now what it would hear within the next seconds: who was active. */
  flush(): Promise<void> {
    return this.#activity.save()
  }

  async close(): Promise<void> {
    await this.#activity.close()
    await this.#parts.revocations.close()
    this.#parts.users?.close()
    this.keys.close()
  }

  /** Idle sessions end in the store; asked only when a token outlives the idle time and nobody used it here meanwhile. */
  #isAwake(sid: string, { claims }: Verified): boolean {
    const { access, idle, now } = this.#parts
    return idle >= access || now() - claims.iat * 1000 < idle || this.#activity.isAwake(sid)
  }

  async #ask(sid: string, verified: Verified): Promise<Verified | Refusal> {
    let exists: boolean
    try {
      exists = await this.#parts.sessions.exists(sid)
    } catch {
      return 'store'
    }
    if (!exists) return 'revoked.gone'
    this.#activity.note(sid)
    return verified
  }

  async #void(sid: string, remaining: number): Promise<boolean> {
    this.#activity.forget(sid)
    const propagated = await this.#parts.revocations.add([{ kind: 'session', sid }])
    await this.#parts.sessions.markOffline([[sid, remaining]]).catch(() => {})
    return propagated
  }

  /** A password was changed or a user removed: sessions from before end now, not when they are refreshed. */
  async #endOutdated(uid: string, stamp = ''): Promise<void> {
    const { sessions, warn } = this.#parts
    try {
      const ended = await sessions.endOutdated(this.keys.hashUser(uid), stamp)
      await this.#voidAll(ended)
    } catch {
      warn('The store does not answer: sessions of a changed user end at their next refresh, not now.')
    }
  }

  async #voidAll(sids: readonly string[]): Promise<boolean> {
    const propagated = await this.#parts.revocations.add(sids.map((sid) => ({ kind: 'session', sid })))
    for (const sid of sids) this.#activity.forget(sid)
    await this.#parts.sessions.markOffline(sids.map((sid) => [sid, 0] as const)).catch(() => {})
    return propagated
  }

  /** The count of who is online may be late, a sign-in may not fail for it. */
  async #tellOnline(sid: string, evicted: readonly string[]): Promise<void> {
    const { sessions } = this.#parts
    const marks = [
      sessions.markOnline([[sid, 0]]),
      sessions.markOffline(evicted.map((old) => [old, 1] as const))
    ]
    await Promise.allSettled(marks)
  }

  #grant(user: User, session: GrantedSession): Grant {
    const { issuer, audience, access, now } = this.#parts
    const iat = Math.floor(now() / 1000)
    const left = Math.max(1, Math.floor(Math.min(access, session.expiresAt - session.now) / 1000))
    const claims: AccessClaims = {
      iss: issuer,
      sub: user.uid,
      aud: audience,
      iat,
      exp: iat + left,
      jti: randomBytes(16).toString('base64url'),
      sid: session.sid,
      ep: session.epoch,
      scope: user.scopes.join(' '),
      auth_time: Math.floor(session.signedInAt / 1000),
      ...(user.roles.length > 0 && { roles: user.roles })
    }
    const refreshToken = writeRefreshToken(
      { session: session.sid, generation: session.generation },
      this.keys
    )
    return { claims, refreshToken, session: session.sid, expiresIn: left }
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
}

const isAlive = ({ outcome }: Rotated): boolean =>
  outcome === 'ROTATED' || outcome === 'REPLAY' || outcome === 'FASTFORWARD'
