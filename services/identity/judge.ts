import { flat } from '../flat.ts'
import type { Access } from './access.ts'
import { isByOldKey } from './keys/user-tokens.ts'
import type { Credential, Holder, IdentityParts, Refusal } from './parts.ts'
import { isSessionId } from './sessions/refresh-token.ts'
import type { TokenWish, Verified } from './tokens/verifier.ts'

/** What else the store is asked when it is asked for a session. */
export interface Alongside {
  /** Resolves with whether `gate`, the session's key in the store, is there; undefined where that has to be asked by itself. */
  readonly alongside?:
    | ((holder: Holder, gate: string) => Promise<boolean | undefined> | undefined)
    | undefined
}

/** What a route asks of a credential. */
export type Asked = Pick<Access, 'session'> &
  Partial<Pick<Access, 'onStale'>> &
  TokenWish &
  Alongside & {
    /** Nobody is let in by the answer. */
    readonly isQuestion?: boolean
  }
export type Verdict<Who extends Holder> = Who | Refusal | Promise<Who | Refusal>

/** Says whether a credential holds, and leaves no trace of having been asked; without a store call wherever the route allows that. */
export class Judge {
  readonly #parts: IdentityParts

  constructor(parts: IdentityParts) {
    this.#parts = parts
  }

  /** About a credential of any kind, as a route asks for it. */
  credential({ kind, value }: Credential, asked: Asked): Verdict<Holder> {
    switch (kind) {
      case 'bearer':
      case 'cookie':
        return this.token(value, asked)
      case 'api-key':
        // A key has no session: what its file says is all there is to ask, however a route checks sessions.
        return this.#parts.apiKeys?.check(value) ?? 'apikey.unknown'
    }
  }

  /** About what is known to be an access token. */
  token(token: string, access: Asked): Verdict<Verified> {
    const verified = this.#parts.verifier.verifyFor(token, access)
    if (verified instanceof Promise) return verified.then((later) => this.#judgeVerified(later, access))
    if (verified !== 'kid.unknown') return this.#judgeVerified(verified, access)
    // Another gateway may sign already with a key that came into the file a moment ago.
    return this.#parts.keys
      .look()
      .then(() => this.#parts.verifier.verifyFor(token, access))
      .then((again) => this.#judgeVerified(again, access))
  }

  #judgeVerified(verified: Verified | Refusal, access: Asked): Verdict<Verified> {
    if (typeof verified === 'string') return verified
    return verified.isOwn ? this.#judgeOwn(verified, access) : this.#judgeForeign(verified, access)
  }

  /** A token of another issuer has no session here, so no route that asks for one takes it. What is revoked it may be all the same. */
  #judgeForeign(verified: Verified, access: Asked): Verified | Refusal {
    if (access.session === 'stateless') return verified
    if (access.session === 'strict') return 'claims.sid'
    return this.#parts.revocations.find(verified) ?? this.#judgeByFreshness(verified, access)
  }

  #judgeByFreshness(verified: Verified, { onStale = 'closed', isQuestion }: Asked): Verified | Refusal {
    const { freshness } = this.#parts
    if (!freshness.isStale()) return verified
    if (!freshness.serves(onStale, verified)) return 'stale'
    if (isQuestion !== true) freshness.count()
    return verified
  }

  /** Whether a token that verifies is still in force, as far as the route wants to know. */
  #judgeOwn(verified: Verified, access: Asked): Verdict<Verified> {
    const { session } = verified
    if (access.session === 'stateless') return isByOldKey(verified, this.#parts) ? 'revoked.epoch' : verified
    if (session === undefined || !hasSession(session, verified)) return 'claims.sid'
    const revoked = this.#parts.revocations.find(verified)
    if (revoked !== undefined) return revoked
    if (access.session === 'strict' || !this.#isAwake(session, verified))
      return this.#ask(session, verified, access)
    return this.#judgeByFreshness(verified, access)
  }

  /** Idle sessions end in the store; asked only when a token outlives the idle time and nobody used it here meanwhile. */
  #isAwake(sid: string, { claims }: Verified): boolean {
    const { access, idle, now, activity } = this.#parts
    return idle >= access || now() - claims.iat * 1000 < idle || activity.isAwake(sid)
  }

  /** Together with what else is asked, where that is known to be of one store with the sessions. */
  #ask(sid: string, verified: Verified, asked: Asked): Promise<Verified | Refusal> {
    const { sessionKeyOf } = this.#parts
    const together = sessionKeyOf && asked.alongside?.(verified, gateOf(sid, verified, sessionKeyOf))
    if (together === undefined) return this.#askAlone(sid, verified, asked)
    return together.then(
      (exists) => (exists === undefined ? this.#askAlone(sid, verified, asked) : existing(verified, exists)),
      () => unknown(verified, asked)
    )
  }

  async #askAlone(sid: string, verified: Verified, asked: Asked): Promise<Verified | Refusal> {
    try {
      return existing(verified, await this.#parts.sessions.exists(sid))
    } catch {
      return unknown(verified, asked)
    }
  }
}

const existing = (verified: Verified, exists: boolean): Verified | Refusal =>
  exists ? verified : 'revoked.gone'

/** Who may pass while nobody knows what was revoked may do so while nobody knows who fell asleep. */
const unknown = (verified: Verified, { session, onStale }: Asked): Verified | Refusal =>
  session === 'revocable' && onStale === 'open' ? verified : 'store'

function hasSession(session: string, { notes }: Verified): boolean {
  if (notes === undefined) return isSessionId(session)
  notes.hasSession ??= isSessionId(session)
  return notes.hasSession
}

function gateOf(session: string, { notes }: Verified, keyOf: (session: string) => string): string {
  if (notes === undefined) return keyOf(session)
  notes.gate ??= flat(keyOf(session))
  return notes.gate
}
