import type { LogFollower, Store } from '../store/store.ts'
import { type AddressSet, AddressSet as Networks, parseNetwork } from './address-set.ts'
import { type Ban, type Cause, readBan } from './ban.ts'
import { BanRecords, banLog, type Wish } from './records.ts'

/** Bans that a gateway knows of, at most; further automatic ones are left undone, and told of. */
const most = 200_000
/** Wishes that wait for a store that is away, at most. */
const mostWaiting = 10_000
/** Wishes that are told at the same time. */
const atOnce = 100
/** Addresses that are remembered to be free, at most. */
const mostFree = 10_000
const retryPause = 500
/** Milliseconds in which bans gather before anybody is told. */
const gathering = 20
const sweepPause = 30_000

/** How automatic bans are placed, by the config that serves. */
export interface BanPolicy {
  /** Milliseconds, by level. */
  readonly durations: readonly number[]
  readonly memory: number
  readonly dryRun: boolean
  /** Never banned. */
  readonly exempt: AddressSet<true>
}

export interface BansEvents {
  /** A ban was placed here, or in a dry run would have been. */
  onBan(ban: Ban, isDry: boolean): void
  /** There are as many as a gateway keeps; called once until there is room again. */
  onFull(): void
}

export interface BanFigures {
  readonly active: number
  readonly placed: number
  readonly dry: number
}

/**
 * Who is shut out, as all gateways on one store know it: to ask costs a look-up in memory. A ban holds here at once, everywhere else as
 * soon as the store's log tells of it. While the store is away each gateway goes on with what it knows and tells of its own bans later.
 */
export class Bans {
  readonly #records: BanRecords
  readonly #events: BansEvents
  readonly #bans = new Map<string, Ban>()
  readonly #set = new Networks<Ban>()
  /** Addresses that no ban holds; clients come again and again, and a text is found faster than the networks it is in. */
  readonly #free = new Set<string>()
  readonly #listeners = new Set<() => void>()
  #telling: NodeJS.Timeout | undefined
  readonly #waiting = new Map<string, Wish>()
  /** Networks that a dry run has told of, and until when it need not do so again. */
  readonly #told = new Map<string, number>()
  readonly #timers: readonly NodeJS.Timeout[]
  #follower: LogFollower | undefined
  /** Milliseconds by which the store's clock is ahead of ours. */
  #skew = 0
  #placed = 0
  #dry = 0
  #isFull = false
  #isStale = false
  #sending: Promise<void> | undefined
  #isClosed = false

  private constructor(store: Store, events: BansEvents) {
    this.#records = new BanRecords(store)
    this.#events = events
    this.#timers = [
      setInterval(() => this.#catchUp(), retryPause).unref(),
      setInterval(() => this.#sweep(), sweepPause).unref()
    ]
  }

  /** Follows the log before anything is read, so that nothing falls between. A store that is away is read when it is back. */
  static async open(store: Store, events: BansEvents): Promise<Bans> {
    const bans = new Bans(store, events)
    bans.#follower = await store.follow(banLog, {
      onEvent: (event) => bans.#hear(event),
      onGap: () => {
        bans.#isStale = true
        bans.#catchUp()
      }
    })
    await bans.#read()
    return bans
  }

  get figures(): BanFigures {
    return { active: this.#bans.size, placed: this.#placed, dry: this.#dry }
  }

  /** The ban that shuts this address out; undefined when none does. */
  find(address: string): Ban | undefined {
    if (this.#bans.size === 0 || this.#free.has(address)) return undefined
    const ban = this.#set.find(address)
    if (ban === undefined) {
      if (this.#free.size >= mostFree) this.#free.clear()
      this.#free.add(address)
      return undefined
    }
    if (ban.until > Date.now() + this.#skew) return ban
    this.#drop(ban)
    // A wider network may still hold it.
    return this.find(address)
  }

  /** Calls back after somebody was shut out, here or elsewhere; the returned function ends that. */
  onBanned(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Those in force, the one placed last first. */
  list(): readonly Ban[] {
    const now = Date.now() + this.#skew
    return [...this.#bans.values()].filter(({ until }) => until > now).sort((a, b) => b.since - a.since)
  }

  /** Shuts a client out that has shown itself abnormal, for as long as its earlier bans make it. Never throws; who is exempt is not touched. */
  punish(address: string, { reason, evidence }: Cause, policy: BanPolicy): void {
    const { durations, memory, dryRun, exempt } = policy
    const network = networkFor(address)
    if (network === undefined || exempt.find(address) !== undefined || this.#isClosed) return
    const now = Date.now()
    if (dryRun) {
      if ((this.#told.get(network) ?? 0) > now) return
      this.#told.set(network, now + durations[0]!)
      this.#dry += 1
      this.#events.onBan(banNow({ network, reason, evidence, by: 'automatic' }, now, durations[0]!), true)
      return
    }
    if (this.find(address) !== undefined || this.#waiting.has(network) || !this.#hasRoom()) return
    const said = { network, reason, evidence, by: 'automatic' }
    // It holds here before the store has heard of it.
    const ban = banNow(said, now + this.#skew, durations[0]!)
    this.#take(ban)
    this.#placed += 1
    this.#events.onBan(ban, false)
    this.#waiting.set(network, { ...said, durations, memory, replaces: false })
    this.#catchUp()
  }

  /** Shuts a network out because somebody says so, instead of what was said of it before. Rejects with StoreUnavailable. */
  async add(
    { network, reason, ttl, by }: { network: string; reason: string; ttl: number; by: string },
    { memory }: Pick<BanPolicy, 'memory'>
  ): Promise<Ban> {
    const ban = await this.#records.place({
      network,
      reason,
      evidence: {},
      by,
      durations: [ttl],
      memory,
      replaces: true
    })
    this.#placed += 1
    this.#take(ban)
    this.#events.onBan(ban, false)
    return ban
  }

  /** Lets a network in again; with `forgets` its next ban is a first one. False when it was not banned. Rejects with StoreUnavailable. */
  async remove(network: string, forgets: boolean): Promise<boolean> {
    this.#waiting.delete(network)
    const isThere = await this.#records.lift(network, forgets)
    const known = this.#bans.get(network)
    this.#forget(network)
    return isThere || (known !== undefined && known.until > Date.now() + this.#skew)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#telling)
    for (const timer of this.#timers) clearInterval(timer)
    await this.#follower?.close()
    await this.#sending
  }

  #hear(event: string): void {
    if (event.startsWith('-')) this.#forget(event.slice(1))
    else {
      const ban = readBan(event)
      if (ban !== undefined) this.#take(ban)
    }
  }

  #take(ban: Ban): void {
    const network = parseNetwork(ban.network)
    if (network === undefined || (!this.#bans.has(ban.network) && !this.#hasRoom())) return
    this.#bans.set(ban.network, ban)
    this.#set.set(network, ban)
    this.#free.clear()
    // Whoever listens looks through all that is open: once for all bans that come together.
    if (this.#listeners.size > 0) this.#telling ??= setTimeout(() => this.#announce(), gathering).unref()
  }

  #announce(): void {
    this.#telling = undefined
    for (const listener of this.#listeners) listener()
  }

  #hasRoom(): boolean {
    if (this.#bans.size < most) {
      this.#isFull = false
      return true
    }
    if (!this.#isFull) this.#events.onFull()
    this.#isFull = true
    return false
  }

  #forget(text: string): void {
    const network = parseNetwork(text)
    if (network !== undefined && this.#bans.delete(network.text)) this.#set.delete(network)
  }

  #drop(ban: Ban): void {
    this.#bans.delete(ban.network)
    this.#set.delete(parseNetwork(ban.network)!)
  }

  /** Tells the store what it has not heard of, and reads what may have been missed. */
  #catchUp(): void {
    if (this.#isClosed || (this.#waiting.size === 0 && !this.#isStale)) return
    this.#sending ??= this.#tell().finally(() => {
      this.#sending = undefined
    })
  }

  async #tell(): Promise<void> {
    try {
      if (this.#isStale) await this.#read()
      while (this.#waiting.size > 0) {
        const some = [...this.#waiting].slice(0, atOnce)
        await Promise.all(
          some.map(async ([network, wish]) => {
            const ban = await this.#records.place(wish)
            // Lifted meanwhile, or placed by another gateway: what the store says holds.
            if (this.#waiting.delete(network)) this.#take(ban)
          })
        )
      }
    } catch {
      // Asked again in a moment.
      while (this.#waiting.size > mostWaiting) this.#waiting.delete(this.#waiting.keys().next().value!)
    }
  }

  async #read(): Promise<void> {
    try {
      const { bans, now } = await this.#records.all(most)
      this.#skew = now - Date.now()
      const waiting = [...this.#waiting.keys()].flatMap((network) => this.#bans.get(network) ?? [])
      this.#bans.clear()
      this.#set.clear()
      for (const ban of [...waiting, ...bans]) this.#take(ban)
      this.#isStale = false
    } catch {
      this.#isStale = true
    }
  }

  #sweep(): void {
    const now = Date.now()
    for (const ban of this.#bans.values()) if (ban.until <= now + this.#skew) this.#drop(ban)
    for (const [network, until] of this.#told) if (until <= now) this.#told.delete(network)
  }
}

/** What is banned with an address: it alone, or the /64 of an IPv6 address, since whoever has one has them all (RFC 4291 2.5.4). */
export function networkFor(address: string): string | undefined {
  return parseNetwork(address.includes(':') ? `${address}/64` : address)?.text
}

const banNow = (said: Omit<Ban, 'since' | 'until' | 'level'>, now: number, duration: number): Ban => ({
  ...said,
  since: now,
  until: now + duration,
  level: 1
})
