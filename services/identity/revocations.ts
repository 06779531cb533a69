import type { LogFollower, Store } from '../store/store.ts'
import { userHashOf } from './refresh-token.ts'
import { publish, type StandingRevocation, standing } from './revocation-log.ts'
import { revocationLog, revocationSet } from './sessions/records.ts'
import type { Verified } from './verifier.ts'

export type RevocationReason = 'revoked.sid' | 'revoked.epoch' | 'revoked.jti'

/** What is void before its time: one session, all a user has had so far, or one token. */
export type Revocation =
  | { readonly kind: 'session'; readonly sid: string }
  | { readonly kind: 'user'; readonly userHash: string; readonly epoch: number }
  | { readonly kind: 'token'; readonly jti: string }

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
  find({ session, claims }: Verified): RevocationReason | undefined {
    if (session !== undefined) {
      if (this.#sessions.has(session)) return 'revoked.sid'
      const user = this.#users.size > 0 ? this.#users.get(userHashOf(session)) : undefined
      if (user !== undefined && (claims.ep ?? 0) < user.epoch) return 'revoked.epoch'
    }
    return this.#tokens.size > 0 && this.#tokens.has(claims.jti) ? 'revoked.jti' : undefined
  }

  /** The least epoch a user's tokens must have, as far as this gateway knows. */
  leastEpoch(userHash: string): number {
    return this.#users.get(userHash)?.epoch ?? 0
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
      ...[...this.#tokens.keys()].map((jti) => toEvent({ kind: 'token', jti }))
    ]
  }

  #apply(event: string, left: number): void {
    const [kind, value, epoch] = event.split(' ')
    const until = this.#options.now() + left
    if (value === undefined) return
    if (kind === 's') this.#sessions.set(value, Math.max(until, this.#sessions.get(value) ?? 0))
    else if (kind === 'j') this.#tokens.set(value, Math.max(until, this.#tokens.get(value) ?? 0))
    else if (kind === 'u' && Number.isSafeInteger(Number(epoch))) {
      const before = this.#users.get(value)
      if (before === undefined || before.epoch <= Number(epoch)) {
        this.#users.set(value, { epoch: Number(epoch), until: Math.max(until, before?.until ?? 0) })
      }
    }
  }

  #prune(): void {
    const now = this.#options.now()
    for (const map of [this.#sessions, this.#tokens]) {
      for (const [value, until] of map) if (until <= now) map.delete(value)
    }
    for (const [userHash, { until }] of this.#users) if (until <= now) this.#users.delete(userHash)
  }
}

function toEvent(revocation: Revocation): string {
  switch (revocation.kind) {
    case 'session':
      return `s ${revocation.sid}`
    case 'user':
      return `u ${revocation.userHash} ${revocation.epoch}`
    case 'token':
      return `j ${revocation.jti}`
  }
}
