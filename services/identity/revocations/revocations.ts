import { isProblem } from '../../../errors.ts'
import type { LogFollower, Store } from '../../store/store.ts'
import { revocationLog } from '../sessions/records.ts'
import type { Verified } from '../tokens/verifier.ts'
import { Outbox, type Task } from './outbox.ts'
import {
  fromEvent,
  isLasting,
  type LastingRevocation,
  nameOf,
  type Revocation,
  toEvent
} from './revocation.ts'
import { type ListedRevocation, RevocationList, type RevocationReason } from './revocation-list.ts'
import { RevocationRecords } from './revocation-records.ts'

export type { RevocationReason } from './revocation-list.ts'

/** May not throw. */
export type RevocationListener = (revocation: Revocation) => void

export interface RevocationOptions {
  /** Milliseconds until no token that an event is about can be valid any more. */
  readonly keep: (event: string) => number
  readonly now: () => number
  /** Told the users' epochs this gateway knows when the store may have lost them. */
  readonly reassert: (userHash: string, epoch: number) => Promise<unknown>
  /** Told of the sessions it may have brought back: no list of tokens keeps their refresh tokens out for long. */
  readonly endAgain: (sid: string) => Promise<unknown>
  readonly warn: (sentence: string) => void
}

/** What this gateway knows and has yet to tell, for its operator. */
export interface RevocationState {
  /** What the store has yet to be told. */
  readonly pending: number
  readonly entries: Readonly<Record<Revocation['kind'], number>>
}

const retryPause = 250
const prunePause = 30_000
/** Events in one script: a millisecond or two of a Redis that others wait for. */
const atOnce = 500

/**
 * Keeps the list of what is revoked: fed by the store's log, by a snapshot at start and after a gap. A request asks the list only
 * and costs no store call. After a store lost its memory, what this gateway remembers is told it again.
 */
export class Revocations {
  readonly list = new RevocationList()
  /** When the list was known to be whole last, on the scale of performance.now(). */
  heardAt = Number.NEGATIVE_INFINITY
  readonly #records: RevocationRecords
  readonly #options: RevocationOptions
  readonly #listeners = new Set<RevocationListener>()
  readonly #silenceListeners = new Set<() => void>()
  readonly #outbox = new Outbox()
  readonly #timers: NodeJS.Timeout[] = []
  #follower: LogFollower | undefined
  #isSynced = false
  #isSyncing = false
  #gaps = 0
  #isClosed = false

  private constructor(store: Store, options: RevocationOptions) {
    this.#records = new RevocationRecords(store, options.keep)
    this.#options = options
  }

  /** Remembers the log's end first and reads the snapshot then, so that nothing falls between. */
  static async start(store: Store, options: RevocationOptions): Promise<Revocations> {
    const revocations = new Revocations(store, options)
    revocations.#follower = await store.follow(revocationLog, {
      onEvent: (event) => revocations.#apply(event, options.keep(event)),
      onFresh: () => revocations.#freshen(),
      onGap: () => revocations.#resync()
    })
    await revocations.#sync(false)
    revocations.#timers.push(
      setInterval(() => revocations.list.prune(options.now()), prunePause).unref(),
      setInterval(() => revocations.#tick(), retryPause).unref()
    )
    return revocations
  }

  /** Why a token is void, if it is. */
  find(verified: Verified): RevocationReason | undefined {
    return this.list.find(verified)
  }

  /** The least epoch a user's tokens must have, as far as this gateway knows. */
  leastEpoch(userHash: string): number {
    return this.list.leastEpoch(userHash)
  }

  isSessionRevoked(sid: string): boolean {
    return this.list.isSessionRevoked(sid)
  }

  isClientRevoked(client: string): boolean {
    return this.list.isRevoked('client', client)
  }

  /** Whether it is worth asking which client a session belongs to. */
  get hasRevokedClients(): boolean {
    return this.list.count().client > 0
  }

  /** Keys that were revoked, whenever that was. */
  revokedKeys(): readonly string[] {
    return [...this.list.listed()].filter(({ kind }) => kind === 'key').map(({ value }) => value)
  }

  isKeyRevoked(kid: string): boolean {
    return this.list.isRevoked('key', kid)
  }

  /** Calls back for every revocation that is news here, whoever made it; the returned function ends that. */
  onRevoked(listener: RevocationListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Calls back when the store is heard of again after such a silence that revocations may have come and gone in it: what they were
   * about is out of date by now. The returned function ends that.
   */
  onLongSilence(listener: () => void): () => void {
    this.#silenceListeners.add(listener)
    return () => this.#silenceListeners.delete(listener)
  }

  /**
   * In force here at once, and in the other gateways when the store has it. False when the store could not be told yet: it is
   * told as soon as it answers again.
   */
  async add(revocations: readonly Revocation[]): Promise<boolean> {
    const stamped = revocations.map((revocation) =>
      isLasting(revocation) ? this.#stamp(revocation) : revocation
    )
    const fleeting: string[] = []
    const telling: [key: string, task: Task][] = []
    for (const revocation of stamped) {
      const event = toEvent(revocation)
      this.#apply(event, this.#options.keep(event))
      if (isLasting(revocation)) telling.push([event, () => this.#records.settle(revocation)])
      else fleeting.push(event)
    }
    for (let at = 0; at < fleeting.length; at += atOnce) {
      const some = fleeting.slice(at, at + atOnce)
      telling.push([some.join(), () => this.#records.publish(some)])
    }
    let isTold = true
    for (const [key, task] of telling) isTold = (await this.orLater(key, task)) !== undefined && isTold
    return isTold
  }

  /** Lifts what was revoked until then; the same promise as `add`. */
  lift(revocation: LastingRevocation): Promise<boolean> {
    return this.add([{ ...revocation, isLifted: true }])
  }

  /**
   * Does something to the store now, or as soon as it answers again; undefined in the second case. Behind what waits already,
   * so that everything happens in the order it was asked for. Rejects when too much waits.
   */
  async orLater<Result>(
    key: string,
    task: () => Promise<Result>
  ): Promise<{ readonly result: Result } | undefined> {
    if (this.#outbox.length === 0) {
      try {
        return { result: await task() }
      } catch (error) {
        if (!isProblem(error)) throw error
      }
    }
    this.#outbox.put(key, task)
    return undefined
  }

  state(): RevocationState {
    return { pending: this.#outbox.length, entries: this.list.count() }
  }

  /** What is in force here, a page of it. */
  page(offset: number, limit: number): readonly ListedRevocation[] {
    const found: ListedRevocation[] = []
    let at = 0
    for (const listed of this.list.listed()) {
      if (found.length === limit) break
      if (at >= offset) found.push(listed)
      at += 1
    }
    return found
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers) clearInterval(timer)
    await this.#outbox.drain()
    if (this.#outbox.length > 0) {
      this.#options.warn(
        `${this.#outbox.length} revocations never reached the store: they were in force at this gateway only.`
      )
    }
    await this.#follower?.close()
  }

  /** Newer than whatever is known of the name; what is so already keeps its stamp, and nothing changes anywhere. */
  #stamp(revocation: LastingRevocation): LastingRevocation {
    const { kind, isLifted = false } = revocation
    const name = nameOf(revocation)
    const known = this.list.stampOf(kind, name)
    const isSo = known > 0 && this.list.isRevoked(kind, name) !== isLifted
    return { ...revocation, isLifted, stamp: isSo ? known : Math.max(this.#options.now(), known + 1) }
  }

  #tick(): void {
    if (!this.#isSynced) void this.#sync(true)
    if (this.#outbox.length > 0) void this.#outbox.drain()
  }

  #freshen(): void {
    if (!this.#isSynced) return
    const before = this.heardAt
    this.heardAt = performance.now()
    if (this.heardAt - before < this.#options.keep('')) return
    for (const listener of this.#silenceListeners) listener()
  }

  #resync(): void {
    this.#isSynced = false
    this.#gaps += 1
    void this.#sync(true)
  }

  async #sync(reassert: boolean): Promise<void> {
    if (this.#isSyncing || this.#isClosed) return
    this.#isSyncing = true
    const gaps = this.#gaps
    try {
      const found = new Set<string>()
      await this.#records.read((event, left) => {
        found.add(event)
        this.#apply(event, left)
      })
      if (reassert) await this.#reassert(found)
      // Another gap while it read: the timer starts anew.
      if (gaps !== this.#gaps) return
      this.#isSynced = true
      this.#freshen()
    } catch {
      // Not fresh until it works: the timer tries again.
    } finally {
      this.#isSyncing = false
    }
  }

  /** Tells the store what it should know and does not: it was restarted without its memory, or failed over to an older copy. */
  async #reassert(found: ReadonlySet<string>): Promise<void> {
    this.list.prune(this.#options.now())
    const missing: string[] = []
    const ended: string[] = []
    for (const revocation of this.list.known()) {
      const event = toEvent(revocation)
      if (found.has(event)) continue
      if (isLasting(revocation)) await this.#records.settle(revocation)
      else missing.push(event)
      if (revocation.kind === 'session') ended.push(revocation.sid)
    }
    await eachOf(ended, (sid) => this.#options.endAgain(sid))
    for (let at = 0; at < missing.length; at += atOnce)
      await this.#records.publish(missing.slice(at, at + atOnce))
    await eachOf([...this.list.epochs()], ([userHash, { epoch }]) => this.#options.reassert(userHash, epoch))
  }

  #apply(event: string, left: number): void {
    const revocation = fromEvent(event)
    if (revocation === undefined || !this.list.note(revocation, this.#options.now() + left)) return
    if (isLasting(revocation) && revocation.isLifted === true) return
    for (const listener of this.#listeners) listener(revocation)
  }
}

/** A bounded number at a time. */
async function eachOf<Item>(items: readonly Item[], tell: (item: Item) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += atOnce) await Promise.all(items.slice(at, at + atOnce).map(tell))
}
