import { NotFound } from '../../errors.ts'
import { CookieSessions } from './cookies/cookie-sessions.ts'
import { Endings } from './endings.ts'
import { type Evidence, evidenceOf } from './evidence.ts'
import { type Asked, Judge, type Verdict } from './judge.ts'
import type { RevokedKey } from './keys/key-revoking.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { OpenExchanges } from './open-exchanges.ts'
import type { Caller, Credential, Holder, IdentityParts, Refusal } from './parts.ts'
import type { LastingRevocation, Revocation } from './revocations/revocation.ts'
import type { ListedRevocation } from './revocations/revocation-list.ts'
import type { RevocationState as ListState } from './revocations/revocations.ts'
import type { Online, SessionRecord } from './sessions/provider.ts'
import { isSessionId, readRefreshToken, userHashOf } from './sessions/refresh-token.ts'
import { ProvidedSession, type Session } from './sessions/session.ts'
import { type Grant, type RefreshAsker, SignIn } from './sign-in.ts'
import type { Verified } from './tokens/verifier.ts'
import type { LockOut } from './users/lock-out.ts'

export type { Caller, Refusal } from './parts.ts'
export type { Grant } from './sign-in.ts'

/** How well this gateway knows what is revoked, for its operator. */
export interface RevocationState extends ListState {
  readonly isFresh: boolean
  /** Seconds since the store was heard of; infinite before the first time. */
  readonly lag: number
  /** Requests that passed while the list was stale. */
  readonly served: number
}

/** Who is who: signs users in, keeps their sessions, and says of every token whether it still holds. */
export class Identity {
  readonly keys: KeyRing
  /** For who signed in with cookies. */
  readonly cookies: CookieSessions
  readonly #parts: IdentityParts
  readonly #endings: Endings
  readonly #signIn: SignIn
  readonly #judge: Judge
  #letGo: () => void = () => {}

  constructor(parts: IdentityParts) {
    this.keys = parts.keys
    this.#parts = parts
    this.#judge = new Judge(parts)
    this.#endings = new Endings(parts)
    this.#signIn = new SignIn(parts, this.#endings)
    this.cookies = new CookieSessions(parts.keys, (shown) =>
      this.#signIn.exchange(shown, { client: undefined, isPatient: true })
    )
  }

  /** Whether anybody can sign in here. */
  get hasUsers(): boolean {
    return this.#parts.users !== undefined
  }

  /** From now on ends what is open there when the credential behind it is revoked. */
  endIn(open: OpenExchanges): this {
    const { revocations, apiKeys } = this.#parts
    const letGo = [
      open.watch({
        find: (holder) => ('kid' in holder ? revocations.find(holder as Verified) : undefined),
        onRevoked: (listener) => revocations.onRevoked(listener)
      }),
      // Who was ended in the silence is not known, and only tokens in date are still on the list.
      revocations.onLongSilence(() => open.endExpired()),
      apiKeys?.endIn(open)
    ]
    this.#letGo = () => {
      for (const end of letGo) end?.()
    }
    return this
  }

  /** Checks a credential of any kind as a route asks for it, and notes the use; without a store call wherever the route allows that. */
  check(credential: Credential, asked: Asked): Verdict<Holder> {
    return this.#noted(this.#judge.credential(credential, asked))
  }

  /** The same for what is known to be an access token. */
  checkToken(token: string, asked: Asked): Verdict<Verified> {
    return this.#noted(this.#judge.token(token, asked))
  }

  /** Decides as `check` does, and leaves no trace: nobody was here. */
  judge(credential: Credential, asked: Asked): Verdict<Holder> {
    return this.#judge.credential(credential, { ...asked, isQuestion: true })
  }

  /** What a verdict rests on, for whoever runs the gateway. */
  evidence(credential: Credential, asked: Asked, verdict: Holder | Refusal): Evidence {
    return evidenceOf(this.#parts, credential, asked, verdict)
  }

  #noted<Who extends Holder>(verdict: Verdict<Who>): Verdict<Who> {
    if (verdict instanceof Promise) return verdict.then((later) => this.#note(later))
    return this.#note(verdict)
  }

  #note<Who extends Holder>(verdict: Who | Refusal): Who | Refusal {
    if (typeof verdict !== 'string' && verdict.session !== undefined) {
      this.#parts.activity.noteHolder(verdict.session, verdict)
    }
    return verdict
  }

  /** Signature and claims only: what nobody but the token itself can tell. */
  checkStateless(token: string, audience: string): Verified | Refusal {
    return this.#parts.verifier.verify(token, audience)
  }

  login(name: string, password: string, caller: Caller): Promise<Grant> {
    return this.#signIn.login(name, password, caller)
  }

  refresh(token: string, asker?: RefreshAsker): Promise<Grant> {
    return this.#signIn.refresh(token, asker)
  }

  /** The session a refresh token belongs to, if this gateway wrote the token. */
  sessionOf(refreshToken: string): string | undefined {
    return readRefreshToken(refreshToken, this.keys)?.session
  }

  /** Who is kept from signing in at the moment; named where the users are known here. */
  locks(): ReturnType<LockOut['list']> {
    const { lockOut, users } = this.#parts
    return lockOut.list(users?.names?.() ?? [])
  }

  unlock(name: string): Promise<number> {
    return this.#parts.lockOut.unlock(name)
  }

  end(sid: string): ReturnType<Endings['end']> {
    return this.#endings.end(sid)
  }

  endUser(uid: string): ReturnType<Endings['endUser']> {
    return this.#endings.endUser(uid)
  }

  /** One session of a user; rejects with NotFound when it is not theirs. */
  async sessionFor(uid: string, sid: string): Promise<SessionRecord> {
    const isTheirs = isSessionId(sid) && userHashOf(sid) === this.keys.hashUser(uid)
    const session = isTheirs ? await this.#parts.sessions.read(sid) : undefined
    if (session === undefined) throw NotFound(['session', sid.slice(0, 64)], { reason: 'session' })
    return session
  }

  /** The session of who is asking, for what plugins keep in it; undefined where the credential has none. */
  sessionData({ session, subject, isOwn }: Holder): Session | undefined {
    if (!isOwn || !isSessionId(session ?? '')) return undefined
    return new ProvidedSession(this.#parts.sessions, session!, subject)
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

  /** Voids tokens of a kind of their own, besides what `end` and `endUser` do; false while the other gateways cannot be told. */
  revoke(revocation: Revocation): Promise<boolean> {
    return this.#parts.revocations.add([revocation])
  }

  /** Lets a client in again that was revoked; false as above. */
  lift(revocation: LastingRevocation): Promise<boolean> {
    return this.#parts.revocations.lift(revocation)
  }

  /** What is revoked as far as this gateway knows, and how well it knows. */
  revocations(offset: number, limit: number): readonly ListedRevocation[] {
    return this.#parts.revocations.page(offset, limit)
  }

  revocationState(): RevocationState {
    const { revocations, freshness } = this.#parts
    const { lag, served } = freshness
    return { ...revocations.state(), isFresh: !freshness.isStale(), lag: lag / 1000, served }
  }

  /** Revokes a key for good: everything it signed is void everywhere. Rejects with NotFound where there is no such key. */
  async revokeKey(kid: string): Promise<RevokedKey> {
    const revoked = await this.#parts.keyRevoking.revoke(kid)
    if (revoked === undefined) throw NotFound(['key that signs', kid.slice(0, 64)], { reason: 'key' })
    return revoked
  }

  /** Tells the store now what it would hear within the next seconds: who was active. */
  flush(): Promise<void> {
    return this.#parts.activity.save()
  }

  async close(): Promise<void> {
    const { activity, sweep, freshness, users, apiKeys, issuers } = this.#parts
    this.#letGo()
    freshness.close()
    await activity.close()
    await sweep.close()
    await users?.close()
    apiKeys?.close()
    this.#parts.keyRevoking.close()
    for (const issuer of issuers) issuer.close()
    this.keys.close()
  }
}
