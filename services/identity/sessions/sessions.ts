import { Gathered } from '../../store/gathered.ts'
import type { Store } from '../../store/store.ts'
import { create } from './create.ts'
import { dataArgs, readData, writeData } from './data.ts'
import { type Ended, endOutdated, endSession, endUser } from './end.ts'
import { oldestOnline, prune } from './gc.ts'
import { listUser, readSession } from './list.ts'
import { countOnline, markOffline, markOnline, pageOnline } from './online.ts'
import type {
  DataRead,
  DataWritten,
  Kicked,
  NewSession,
  Online,
  Presented,
  RotateOutcome,
  SessionPolicy,
  SessionProvider,
  SessionRecord,
  Started,
  Use
} from './provider.ts'
import {
  epochKey,
  indexKey,
  onlineSessionsKey,
  onlineUsersKey,
  sessionKey,
  sessionPrefix
} from './records.ts'
import { userHashOf } from './refresh-token.ts'
import { type Rotation, rotate } from './rotate.ts'
import { exists, touch } from './touch.ts'

const onlineKeys = [onlineSessionsKey, onlineUsersKey]
const maxListed = 1000
const atMostTouches = 256
const atMostSwept = 4096
const endings: ReadonlySet<RotateOutcome> = new Set(['REUSE', 'EXPIRED', 'REVOKED'])
/** Milliseconds from a client's question to the store, beyond which its token having been used may be the client's own doing. */
const patience = 250

/** The provider that the gateway brings along: sessions in its store, every decision about one a single operation by the store's clock. */
export class Sessions implements SessionProvider {
  readonly #store: Store
  readonly #policy: SessionPolicy
  readonly #existing: Gathered<boolean>
  /** Milliseconds the store's clock is ahead of ours; unknown until it has told its time. */
  #ahead: number | undefined

  constructor(store: Store, policy: SessionPolicy) {
    this.#store = store
    this.#policy = policy
    this.#existing = new Gathered(store, exists)
  }

  async start(session: NewSession): Promise<Started> {
    const { idle, absolute, cap, evicts } = this.#policy
    const { sid, uid, userHash, leastEpoch, address, agent, stamp, client, methods } = session
    const started = await this.#store.run(
      create,
      [sessionKey(userHash, sid), indexKey(userHash), epochKey(userHash)],
      [
        sid,
        uid,
        idle,
        absolute,
        cap,
        evicts ? 1 : 0,
        leastEpoch,
        address,
        agent,
        stamp,
        sessionPrefix(userHash),
        client,
        methods.join(' ')
      ]
    )
    if (started.outcome === 'CREATED') {
      // The count of who is online may be late, a sign-in may not fail for it.
      this.#leave(started.evicted, 1)
      await this.#markOnline([[sid, 0]]).catch(() => {})
    }
    return started
  }

  async rotate(presented: Presented): Promise<Rotation> {
    const { sid, generation, confirmed, client = '', isPatient = false, askedAt } = presented
    const hash = userHashOf(sid)
    const { unconfirmed, idle, absolute } = this.#policy
    const grace = isPatient ? absolute : this.#policy.grace
    const asked = Date.now() - (performance.now() - askedAt)
    const deadline = this.#ahead === undefined ? 0 : Math.ceil(asked + this.#ahead + patience)
    const rotation = await this.#store.run(
      rotate,
      [sessionKey(hash, sid), indexKey(hash), epochKey(hash)],
      [sid, generation, grace, idle, sessionPrefix(hash), unconfirmed, confirmed, client, deadline]
    )
    this.#ahead = Number.isFinite(rotation.now) ? rotation.now - Date.now() : this.#ahead
    if (endings.has(rotation.outcome)) this.#leave([sid], rotation.remaining)
    return rotation
  }

  async destroy(sid: string): Promise<Ended> {
    const hash = userHashOf(sid)
    const keys = [sessionKey(hash, sid), indexKey(hash)]
    const ended = await this.#store.run(endSession, keys, [sid, sessionPrefix(hash)])
    this.#leave([sid], ended.remaining)
    return ended
  }

  async kick(userHash: string, leastEpoch: number): Promise<Kicked> {
    const keys = [indexKey(userHash), epochKey(userHash)]
    const kicked = await this.#store.run(endUser, keys, [sessionPrefix(userHash), leastEpoch])
    this.#leave(kicked.sessions, 0)
    return kicked
  }

  async endOutdated(userHash: string, stamp: string): Promise<readonly string[]> {
    const keys = [indexKey(userHash)]
    const ended = await this.#store.run(endOutdated, keys, [sessionPrefix(userHash), stamp])
    this.#leave(ended, 0)
    return ended
  }

  /** Where the store has a session. */
  readonly keyOf = (sid: string): string => sessionKey(userHashOf(sid), sid)

  exists(sid: string): Promise<boolean> {
    return this.#existing.ask(this.keyOf(sid))
  }

  read(sid: string): Promise<SessionRecord | undefined> {
    return this.#store.run(readSession, [sessionKey(userHashOf(sid), sid)], [sid])
  }

  list(userHash: string): Promise<readonly SessionRecord[]> {
    return this.#store.run(listUser, [indexKey(userHash)], [sessionPrefix(userHash), maxListed])
  }

  /** Sessions of all users, the one used last first. */
  async page(offset: number, limit: number): Promise<readonly SessionRecord[]> {
    const sids = await this.#store.run(pageOnline, onlineKeys, [this.#policy.idle, offset, limit])
    const found = await Promise.all(sids.map((sid) => this.read(sid)))
    return found.filter((session) => session !== undefined)
  }

  online(): Promise<Online> {
    return this.#store.run(countOnline, onlineKeys, [this.#policy.idle])
  }

  /** Notes the use of many sessions, a bounded number of operations at a time. */
  async touch(used: readonly Use[]): Promise<void> {
    const { idle } = this.#policy
    for (let at = 0; at < used.length; at += atMostTouches) {
      const some = used.slice(at, at + atMostTouches)
      const found = await Promise.all(
        some.map(({ sid, age, confirmed }) => {
          const hash = userHashOf(sid)
          return this.#store.run(touch, [sessionKey(hash, sid), indexKey(hash)], [sid, age, idle, confirmed])
        })
      )
      const alive = some.filter((_, index) => found[index])
      if (alive.length > 0) await this.#markOnline(alive.map(({ sid, age }) => [sid, age] as const))
    }
  }

  readData(sid: string, name: string): Promise<DataRead> {
    return this.#store.run(readData, [sessionKey(userHashOf(sid), sid)], dataArgs(name))
  }

  writeData(sid: string, name: string, json = ''): Promise<DataWritten> {
    const { idle } = this.#policy
    return this.#store.run(writeData, [sessionKey(userHashOf(sid), sid)], dataArgs(name, json, idle))
  }

  /** Sessions that are over the store forgets by itself; what points at them is looked for among those seen longest ago. */
  async gc(): Promise<number> {
    const { swept, sids } = await this.#store.run(oldestOnline, onlineKeys, [this.#policy.idle, atMostSwept])
    let gone = 0
    for (let at = 0; at < sids.length; at += atMostTouches) {
      const some = sids.slice(at, at + atMostTouches)
      const found = await Promise.all(
        some.map((sid) => {
          const hash = userHashOf(sid)
          return this.#store.run(prune, [sessionKey(hash, sid), indexKey(hash)], [sid, sessionPrefix(hash)])
        })
      )
      const ended = some.flatMap((sid, index) =>
        found[index]!.isGone ? [[sid, found[index]!.remaining]] : []
      )
      if (ended.length === 0) continue
      await this.#store.run(markOffline, onlineKeys, ended.flat())
      gone += ended.length
    }
    return swept + gone
  }

  #markOnline(used: readonly (readonly [sid: string, age: number])[]): Promise<void> {
    return this.#store.run(markOnline, onlineKeys, [this.#policy.idle, ...used.flat()])
  }

  /** Nobody waits for the count: the other gateways have to hear first that the sessions ended. What is missed `gc` finds. */
  #leave(ended: readonly string[], remaining: number): void {
    if (ended.length === 0) return
    const left = ended.flatMap((sid) => [sid, remaining])
    this.#store.run(markOffline, onlineKeys, left).catch(() => {})
  }
}
