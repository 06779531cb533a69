import { randomBytes } from 'node:crypto'
import type { Operation, Store } from '../store/store.ts'

/** Milliseconds between two words to the store, while it answers and while it does not. */
const pause = { near: 1000, away: 150 }
/** Milliseconds for which a gateway counts as alive after its last word. */
const worth = 3500
/** Good answers in a row before a store that comes and goes is asked by requests again, at most. */
const mostTrials = 4
/** Milliseconds after its return within which a store that is away again counts as one that comes and goes. */
const relapse = 5000

export interface StandbyEvents {
  /** The store stopped answering in time; called once per outage. */
  onAway(cause: unknown): void
  /** It answers again. */
  onReturn(): void
}

/**
 * Knows whether the store answers in time, and how many gateways share it. It writes a word of its own every second: so the gateways count
 * each other, and a store that is away, slow, full or read-only shows itself without a request having to wait for it.
 */
export class Standby {
  /** Requests do not ask the store while this is true. */
  isAway = false
  /** Gateways on the store, this one included, as far as was known last; at least 1. */
  gateways = 1
  readonly #store: Store
  readonly #patience: number
  readonly #events: StandbyEvents
  readonly #name = randomBytes(6).toString('base64url')
  #timer: NodeJS.Timeout | undefined
  #isSpeaking = false
  #good = 0
  #trials = 1
  /** Milliseconds for which the store was away the last time. */
  absence = 0
  #leftAt = 0
  #returnedAt = Number.NEGATIVE_INFINITY
  #isClosed = false

  /** `patience` in milliseconds. */
  constructor(store: Store, patience: number, events: StandbyEvents) {
    this.#store = store
    this.#patience = patience
    this.#events = events
  }

  /** From now on this gateway is one of those that share limits. */
  start(): void {
    if (this.#isSpeaking) return
    this.#isSpeaking = true
    void this.#speak()
  }

  /** The store failed a request, or kept it waiting. */
  leave(cause: unknown): void {
    this.#good = 0
    if (this.isAway || this.#isClosed) return
    this.isAway = true
    this.#leftAt = performance.now()
    const isRelapse = performance.now() - this.#returnedAt < relapse
    this.#trials = isRelapse ? Math.min(this.#trials * 2, mostTrials) : 1
    this.#events.onAway(cause)
    this.#speakIn(pause.away)
  }

  close(): Promise<unknown> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    if (this.isAway || !this.#isSpeaking) return Promise.resolve()
    // One less for the others to share with.
    return this.#store.run(speak, [wordsKey], [this.#name, 0]).catch(() => {})
  }

  #speakIn(ms: number): void {
    clearTimeout(this.#timer)
    if (!this.#isClosed) this.#timer = setTimeout(() => void this.#speak(), ms).unref()
  }

  async #speak(): Promise<void> {
    let isLate = false
    // As with questions: a process that was busy itself finds the answer among what it has not read yet.
    const timer = setTimeout(
      () => setImmediate(() => setImmediate(() => (isLate = true))),
      2 * this.#patience
    )
    try {
      const { name, gateways } = await this.#store.run(speak, [wordsKey], [this.#name, worth])
      if (name !== this.#name || !Number.isSafeInteger(gateways))
        throw new TypeError('The store answered something else.')
      // Its own lateness is the requests' to judge while it is near: they know when this process was busy itself.
      if (this.isAway && isLate) this.#good = 0
      else this.#hear(gateways)
    } catch (cause) {
      this.leave(cause)
    } finally {
      clearTimeout(timer)
    }
    this.#speakIn(this.isAway ? pause.away : pause.near)
  }

  #hear(gateways: number): void {
    // After an outage the others may not have spoken yet: until their words had to be there they count as they did.
    const isTold = !this.isAway && performance.now() - this.#returnedAt > worth
    this.gateways = Math.max(isTold ? 1 : this.gateways, gateways)
    this.#good += 1
    if (!this.isAway || this.#good < this.#trials) return
    this.isAway = false
    this.#returnedAt = performance.now()
    this.absence = this.#returnedAt - this.#leftAt
    this.#events.onReturn()
  }
}

const wordsKey = 'toll:{limits}:gateways'

/**
 * Says that a gateway is there, for so many milliseconds, and counts those that are; its name in the answer tells that answer from any
 * other. A full Redis refuses a script's first write, but none after another: what needs memory comes first. KEYS words. ARGV name,
 * worth (0: it leaves).
 */
const speak: Operation<{ readonly name: string; readonly gateways: number }> = {
  name: 'limits.speak',

  lua: `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local worth = tonumber(ARGV[2])
if worth == 0 then redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + worth), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], worth)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return {ARGV[1], redis.call('ZCARD', KEYS[1])}
`,

  transact(tx, [key = ''], [name, worth]) {
    const own = `${key}:${name}`
    if (Number(worth) === 0) tx.remove(own)
    else tx.put(own, 1, Number(worth))
    return [name, [...tx.range(`${key}:`)].length]
  },

  decode(answer) {
    const [name, gateways] = Array.isArray(answer) ? answer : []
    return { name: String(name), gateways: Number(gateways) }
  }
}
