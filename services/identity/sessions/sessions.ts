import type { Store } from '../../store/store.ts'
import { type Created, create } from './create.ts'
import { type Ended, type EndedAll, endOutdated, endSession, endUser } from './end.ts'
import { listUser, readSession } from './list.ts'
import { countOnline, markOffline, markOnline, type Online, pageOnline } from './online.ts'
import {
  epochKey,
  indexKey,
  onlineSessionsKey,
  onlineUsersKey,
  type SessionRecord,
  sessionKey,
  sessionPrefix
} from './records.ts'
import { newSessionId, userHashOf } from './refresh-token.ts'
import { type Rotated, rotate } from './rotate.ts'
import { exists, touch } from './touch.ts'

export interface SessionPolicy {
  /** Milliseconds without use after which a session ends. */
  readonly idle: number
  /** Milliseconds after which a session ends in any case. */
  readonly absolute: number
  /** Milliseconds in which a used refresh token may be shown again. */
  readonly grace: number
  /** The same for one whose successor nobody is known to have got. */
  readonly unconfirmed: number
  /** Sessions a user may have; 0 for any number. */
  readonly cap: number
  readonly evicts: boolean
}

export interface NewSession {
  readonly uid: string
  readonly userHash: string
  readonly stamp: string
  readonly leastEpoch: number
  readonly address: string
  readonly agent: string
  readonly client: string
  readonly methods: readonly string[]
}

/** A refresh token that is shown. */
export interface Presented {
  readonly sid: string
  readonly generation: number
  /** The newest generation this gateway has seen a token of; the store may not have heard of it yet. */
  readonly confirmed: number
  /** The client that shows it, when it says so. */
  readonly client: string | undefined
  /** Gives the last but one generation its successor for as long as the session lives: browsers lose answers all the time. */
  readonly isPatient?: boolean
  /** When its client was last known to wait for the answer, by performance.now(). */
  readonly askedAt: number
}

/** The use of a session, `age` milliseconds ago; `confirmed` is the newest generation a token of which was used. */
export interface Use {
  readonly sid: string
  readonly age: number
  readonly confirmed: number
}

const onlineKeys = [onlineSessionsKey, onlineUsersKey]
const maxListed = 1000
const atMostTouches = 256
/** Milliseconds from a client's question to the store, beyond which its token having been used may be the client's own doing. */
const patience = 250

/** The sessions in the store: every decision about one is a single atomic operation by the store's clock. */
export class Sessions {
  readonly #store: Store
  readonly #policy: SessionPolicy
  /** Milliseconds the store's clock is ahead of ours; unknown until it has told its time. */
  #ahead: number | undefined

  constructor(store: Store, policy: SessionPolicy) {
    this.#store = store
    this.#policy = policy
  }

  /** Always a new id: what a caller brought along never becomes a session. */
  async create(session: NewSession): Promise<Created & { readonly sid: string }> {
    const { idle, absolute, cap, evicts } = this.#policy
    const { uid, userHash, leastEpoch, address, agent, stamp, client, methods } = session
    const sid = newSessionId(userHash)
    const created = await this.#store.run(
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
    return { ...created, sid }
  }

  async rotate(presented: Presented): Promise<Rotated> {
    const { sid, generation, confirmed, client = '', isPatient = false, askedAt } = presented
    const hash = userHashOf(sid)
    const { unconfirmed, idle, absolute } = this.#policy
    const grace = isPatient ? absolute : this.#policy.grace
    const asked = Date.now() - (performance.now() - askedAt)
    const deadline = this.#ahead === undefined ? 0 : Math.ceil(asked + this.#ahead + patience)
    const rotated = await this.#store.run(
      rotate,
      [sessionKey(hash, sid), indexKey(hash), epochKey(hash)],
      [sid, generation, grace, idle, sessionPrefix(hash), unconfirmed, confirmed, client, deadline]
    )
    this.#ahead = Number.isFinite(rotated.now) ? rotated.now - Date.now() : this.#ahead
    return rotated
  }

  end(sid: string): Promise<Ended> {
    const hash = userHashOf(sid)
    return this.#store.run(endSession, [sessionKey(hash, sid), indexKey(hash)], [sid, sessionPrefix(hash)])
  }

  endUser(userHash: string, leastEpoch: number): Promise<EndedAll> {
    return this.#store.run(
      endUser,
      [indexKey(userHash), epochKey(userHash)],
      [sessionPrefix(userHash), leastEpoch]
    )
  }

  endOutdated(userHash: string, stamp: string): Promise<readonly string[]> {
    return this.#store.run(endOutdated, [indexKey(userHash)], [sessionPrefix(userHash), stamp])
  }

  exists(sid: string): Promise<boolean> {
    return this.#store.run(exists, [sessionKey(userHashOf(sid), sid)], [])
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

  markOnline(used: readonly (readonly [sid: string, age: number])[]): Promise<void> {
    return this.#store.run(markOnline, onlineKeys, [this.#policy.idle, ...used.flat()])
  }

  markOffline(ended: readonly (readonly [sid: string, remaining: number])[]): Promise<void> {
    if (ended.length === 0) return Promise.resolve()
    return this.#store.run(markOffline, onlineKeys, ended.flat())
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
      if (alive.length > 0) await this.markOnline(alive.map(({ sid, age }) => [sid, age] as const))
    }
  }
}
