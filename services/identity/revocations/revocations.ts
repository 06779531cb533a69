import type { LogFollower, Store } from '../../store/store.ts'
import { revocationLog, revocationSet } from '../sessions/records.ts'
import { userHashOf } from '../sessions/refresh-token.ts'
import type { Verified } from '../tokens/verifier.ts'
import { fromEvent, type Revocation, toEvent } from './revocation.ts'
import { publish, type StandingRevocation, standing } from './revocation-log.ts'

export type RevocationReason =
  | 'revoked.sid'
  | 'revoked.epoch'
  | 'revoked.jti'
  | 'revoked.client'
  | 'revoked.kid'

/** May not throw. */
export type RevocationListener = (revocation: Revocation) => void

export interface RevocationOptions {
  /** Milliseconds until no token that is valid now can be valid any more. */
  readonly keep: number
  readonly now: () => number
  /** Milliseconds without a word of the store after which the list cannot be trusted. */
  readonly maxStaleness: number
  /** Told the users' epochs this gateway knows when the store may have lost them. */
  readonly reassert: (userHash: string, epoch: number) => Promise<unknown>
}

const retryPause = 250
const prunePause = 30_000

/**
 * What is revoked, in maps of this process: a request costs three lookups and no store call. Fed by the store's log, by a snapshot
 * at start and after a gap. After a store lost its memory, what this gateway remembers is told it again.
 */
export class Revocations {
  readonly #store: Store
  readonly #options: RevocationOptions
  readonly #sessions = new Map<string, number>()
  readonly #users = new Map<string, { readonly epoch: number; readonly until: number }>()
  readonly #tokens = new Map<string, number>()
  readonly #clients = new Map<string, number>()
  readonly #keys = new Map<string, number>()
  readonly #listeners = new Set<RevocationListener>()
  readonly #outbox = new Set<string>()
  readonly #timers: NodeJS.Timeout[] = []
  #follower: LogFollower | undefined
  #isSynced = false
  #isSyncing = false
  #isClosed = false
  #freshAt = Number.NEGATIVE_INFINITY

  private constructor(store: Store, options: RevocationOptions) {
    this.#store = store
    this.#options = options
  }

  /** Remembers the log's end first and reads the snapshot then, so that nothing falls between. */
  static async start(store: Store, options: RevocationOptions): Promise<Revocations> {
    const revocations = new Revocations(store, options)
    revocations.#follower = await store.follow(revocationLog, {
      onEvent: (event) => revocations.#apply(event, options.keep),
      onFresh: () => revocations.#freshen(),
      onGap: () => revocations.#resync()
    })
    await revocations.#sync(false)
    revocations.#timers.push(
      setInterval(() => revocations.#prune(), prunePause).unref(),
      setInterval(() => void revocations.#retry(), retryPause).unref()
    )
    return revocations
  }

  /** Why a token is void, if it is. */
  find({ session, claims, kid }: Verified): RevocationReason | undefined {
    if (session !== undefined) {
      if (this.#sessions.has(session)) return 'revoked.sid'
      const user = this.#users.size > 0 ? this.#users.get(userHashOf(session)) : undefined
      if (user !== undefined && (claims.ep ?? 0) < user.epoch) return 'revoked.epoch'
    }
    if (this.#tokens.size > 0 && this.#tokens.has(claims.jti)) return 'revoked.jti'
    if (this.#clients.size > 0 && claims.client_id !== undefined && this.#clients.has(claims.client_id)) {
      return 'revoked.client'
    }
    return this.#keys.size > 0 && this.#keys.has(kid) ? 'revoked.kid' : undefined
  }

  /** The least epoch a user's tokens must have, as far as this gateway knows. */
  leastEpoch(userHash: string): number {
    return this.#users.get(userHash)?.epoch ?? 0
  }

  isKeyRevoked(kid: string): boolean {
    return this.#keys.has(kid)
  }

  /** Calls back for every revocation that is news here, whoever made it; the returned function ends that. */
  onRevoked(listener: RevocationListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  isSessionRevoked(sid: string): boolean {
    return this.#sessions.has(sid)
  }

  /** True when the store has not been heard of for too long to know what is revoked. */
  isStale(): boolean {
    return performance.now() - this.#freshAt > this.#options.maxStaleness
  }

  /**
   * In force here at once, and in the other gateways when the store has it. False when the store could not be told yet: it is
   * told as soon as it answers again.
   */
  async add(revocations: readonly Revocation[]): Promise<boolean> {
    const events = revocations.map(toEvent)
    if (events.length === 0) return true
    for (const event of events) this.#apply(event, this.#options.keep)
    try {
      await this.#publish(events)
      return true
    } catch {
      for (const event of events) this.#outbox.add(event)
      return false
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers) clearInterval(timer)
    await this.#follower?.close()
  }

  #publish(events: readonly string[]): Promise<void> {
    return this.#store.run(publish, [revocationLog, revocationSet], [this.#options.keep, ...events])
  }

  async #retry(): Promise<void> {
    if (!this.#isSynced) this.#resync()
    const events = [...this.#outbox]
    if (events.length === 0) return
    try {
      await this.#publish(events)
      for (const event of events) this.#outbox.delete(event)
    } catch {
      // The store is still away; the next round tries again.
    }
  }

  #freshen(): void {
    if (this.#isSynced) this.#freshAt = performance.now()
  }

  #resync(): void {
    this.#isSynced = false
    void this.#sync(true)
  }

  async #sync(reassert: boolean): Promise<void> {
    if (this.#isSyncing || this.#isClosed) return
    this.#isSyncing = true
    try {
      const found = await this.#store.run(standing, [revocationSet], [])
      for (const { event, left } of found) this.#apply(event, left)
      if (reassert) await this.#reassert(found)
      this.#isSynced = true
      this.#freshen()
    } catch {
      // Not fresh until it works: the timer tries again.
    } finally {
      this.#isSyncing = false
    }
  }

  /** Tells the store what it should know and does not: it was restarted without its memory, or failed over to an older copy. */
  async #reassert(found: readonly StandingRevocation[]): Promise<void> {
    const known = new Set(found.map(({ event }) => event))
    const missing = this.#events().filter((event) => !known.has(event))
    if (missing.length > 0) await this.#publish(missing)
    for (const [userHash, { epoch }] of this.#users) await this.#options.reassert(userHash, epoch)
  }

  #events(): string[] {
    this.#prune()
    return [
      ...[...this.#sessions.keys()].map((sid) => toEvent({ kind: 'session', sid })),
      ...[...this.#users].map(([userHash, { epoch }]) => toEvent({ kind: 'user', userHash, epoch })),
      ...[...this.#tokens.keys()].map((jti) => toEvent({ kind: 'token', jti })),
      ...[...this.#clients.keys()].map((client) => toEvent({ kind: 'client', client })),
      ...[...this.#keys.keys()].map((kid) => toEvent({ kind: 'key', kid }))
    ]
  }

  #apply(event: string, left: number): void {
    const revocation = fromEvent(event)
    if (revocation === undefined) return
    const until = this.#options.now() + left
    if (this.#note(revocation, until)) for (const listener of this.#listeners) listener(revocation)
  }

  /** True when it was not known. */
  #note(revocation: Revocation, until: number): boolean {
    if (revocation.kind === 'user') {
      const { userHash, epoch } = revocation
      const before = this.#users.get(userHash)
      if (before !== undefined && before.epoch > epoch) return false
      this.#users.set(userHash, { epoch, until: Math.max(until, before?.until ?? 0) })
      return before === undefined || before.epoch < epoch
    }
    const [map, value] = this.#placeOf(revocation)
    const before = map.get(value)
    map.set(value, Math.max(until, before ?? 0))
    return before === undefined
  }

  #placeOf(revocation: Exclude<Revocation, { kind: 'user' }>): [Map<string, number>, string] {
    switch (revocation.kind) {
      case 'session':
        return [this.#sessions, revocation.sid]
      case 'token':
        return [this.#tokens, revocation.jti]
      case 'client':
        return [this.#clients, revocation.client]
      case 'key':
        return [this.#keys, revocation.kid]
    }
  }

  #prune(): void {
    const now = this.#options.now()
    for (const map of [this.#sessions, this.#tokens, this.#clients, this.#keys]) {
      for (const [value, until] of map) if (until <= now) map.delete(value)
    }
    for (const [userHash, { until }] of this.#users) if (until <= now) this.#users.delete(userHash)
  }
}
