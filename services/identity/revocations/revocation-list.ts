import { userHashOf } from '../sessions/refresh-token.ts'
import type { Verified } from '../tokens/verifier.ts'
import {
  isLasting,
  type LastingRevocation,
  nameOf,
  type Revocation,
  type RevocationKind
} from './revocation.ts'

export type RevocationReason =
  | 'revoked.sid'
  | 'revoked.epoch'
  | 'revoked.jti'
  | 'revoked.client'
  | 'revoked.kid'

/** One revocation as an operator sees it. */
export interface ListedRevocation {
  readonly kind: RevocationKind
  readonly value: string
  /** Milliseconds since the epoch; undefined until it is lifted. */
  readonly until: number | undefined
}

interface UserEntry {
  readonly epoch: number
  readonly until: number
  readonly uid: string | undefined
}

/** Somebody whose epoch the store could not raise yet. */
interface HeldUser {
  readonly uid: string
  /** Tokens issued up to this second are void. */
  readonly issuedBy: number
}

interface LastingEntry {
  readonly stamp: number
  readonly isLifted: boolean
}

/** A lifting is remembered for this long, so that a gateway which was cut off does not bring back what was lifted meanwhile. */
export const liftedFor = 86_400_000

/** What is revoked, in maps of this process: a request costs three lookups. */
export class RevocationList {
  readonly #sessions = new Map<string, number>()
  readonly #users = new Map<string, UserEntry>()
  readonly #held = new Map<string, HeldUser>()
  readonly #tokens = new Map<string, number>()
  readonly #lasting = { client: new Map<string, LastingEntry>(), key: new Map<string, LastingEntry>() }

  /** Why a token is void, if it is. */
  find(verified: Verified): RevocationReason | undefined {
    const { session, claims, kid } = verified
    // What is empty is not asked: nobody has to read of a token what is looked for in nothing.
    if (this.#sessions.size > 0 && session !== undefined && this.#sessions.has(session)) return 'revoked.sid'
    if (this.isOutdated(verified)) return 'revoked.epoch'
    if (this.#tokens.size > 0 && claims.jti !== undefined && this.#tokens.has(named(verified, claims.jti)))
      return 'revoked.jti'
    const { client, key } = this.#lasting
    if (client.size > 0 && claims.client_id !== undefined) {
      if (client.get(named(verified, claims.client_id))?.isLifted === false) return 'revoked.client'
    }
    return key.size > 0 && key.get(named(verified, kid))?.isLifted === false ? 'revoked.kid' : undefined
  }

  /** Whether all sessions of its user were ended since it was given out. */
  isOutdated({ session, claims }: Verified): boolean {
    if (session === undefined || (this.#users.size === 0 && this.#held.size === 0)) return false
    return this.#isOfBefore(session, claims)
  }

  isSessionRevoked(sid: string): boolean {
    return this.#sessions.has(sid) || this.#held.has(userHashOf(sid))
  }

  isRevoked(kind: LastingRevocation['kind'], name: string): boolean {
    return this.#lasting[kind].get(name)?.isLifted === false
  }

  /** The stamp of what is known of a client or key; 0 of an unknown one. */
  stampOf(kind: LastingRevocation['kind'], name: string): number {
    return this.#lasting[kind].get(name)?.stamp ?? 0
  }

  leastEpoch(userHash: string): number {
    return this.#users.get(userHash)?.epoch ?? 0
  }

  epochs(): IterableIterator<[userHash: string, entry: { readonly epoch: number }]> {
    return this.#users.entries()
  }

  /** Takes a revocation in; true when it was not known. */
  note(revocation: Revocation, until: number): boolean {
    if (revocation.kind === 'user') {
      const { userHash, epoch, uid } = revocation
      const before = this.#users.get(userHash)
      if (before !== undefined && before.epoch > epoch) return false
      const later = Math.max(until, before?.until ?? 0)
      this.#users.set(userHash, { epoch, until: later, uid: uid ?? before?.uid })
      return before === undefined || before.epoch < epoch
    }
    if (isLasting(revocation)) {
      const { kind, stamp = 0, isLifted = false } = revocation
      const before = this.#lasting[kind].get(nameOf(revocation))
      if (before !== undefined && before.stamp >= stamp) return false
      this.#lasting[kind].set(nameOf(revocation), { stamp, isLifted })
      return before?.isLifted !== isLifted
    }
    const [map, value] =
      revocation.kind === 'session' ? [this.#sessions, revocation.sid] : [this.#tokens, revocation.jti]
    const before = map.get(value)
    map.set(value, Math.max(until, before ?? 0))
    return before === undefined
  }

  /** All a user had up to a second is void, until the store knows and `release` is called. */
  hold(userHash: string, held: HeldUser): void {
    this.#held.set(userHash, held)
  }

  release(userHash: string): void {
    this.#held.delete(userHash)
  }

  prune(now: number): void {
    for (const map of [this.#sessions, this.#tokens]) {
      for (const [value, until] of map) if (until <= now) map.delete(value)
    }
    for (const [userHash, { until }] of this.#users) if (until <= now) this.#users.delete(userHash)
    for (const map of Object.values(this.#lasting)) {
      for (const [name, { stamp, isLifted }] of map)
        if (isLifted && stamp + liftedFor <= now) map.delete(name)
    }
  }

  /** How many of each kind are in force. */
  count(): Readonly<Record<RevocationKind, number>> {
    const standing = (map: ReadonlyMap<string, LastingEntry>): number => {
      let count = 0
      for (const { isLifted } of map.values()) if (!isLifted) count += 1
      return count
    }
    return {
      session: this.#sessions.size,
      user: this.#users.size + this.#held.size,
      token: this.#tokens.size,
      client: standing(this.#lasting.client),
      key: standing(this.#lasting.key)
    }
  }

  /** What is in force, for people. */
  *listed(): Iterable<ListedRevocation> {
    for (const kind of ['client', 'key'] as const) {
      for (const [value, { isLifted }] of this.#lasting[kind])
        if (!isLifted) yield { kind, value, until: undefined }
    }
    for (const { uid } of this.#held.values()) yield { kind: 'user', value: uid, until: undefined }
    for (const [userHash, { uid, until }] of this.#users)
      yield { kind: 'user', value: uid ?? userHash, until }
    for (const [value, until] of this.#sessions) yield { kind: 'session', value, until }
    for (const [value, until] of this.#tokens) yield { kind: 'token', value, until }
  }

  /** All that is known, for a store that has forgotten. */
  *known(): Iterable<Revocation> {
    for (const sid of this.#sessions.keys()) yield { kind: 'session', sid }
    for (const [userHash, { epoch, uid }] of this.#users) {
      yield { kind: 'user', userHash, epoch, ...(uid !== undefined && { uid }) }
    }
    for (const jti of this.#tokens.keys()) yield { kind: 'token', jti }
    for (const [client, entry] of this.#lasting.client) yield { kind: 'client', client, ...entry }
    for (const [kid, entry] of this.#lasting.key) yield { kind: 'key', kid, ...entry }
  }

  #isOfBefore(session: string, { ep = 0, iat }: Verified['claims']): boolean {
    const userHash = userHashOf(session)
    const held = this.#held.get(userHash)
    if (held !== undefined && iat <= held.issuedBy) return true
    const user = this.#users.get(userHash)
    return user !== undefined && ep < user.epoch
  }
}

/** Two issuers may use one name for different things. */
const named = ({ isOwn, claims }: Verified, name: string): string => (isOwn ? name : `${claims.iss}|${name}`)
