import type { Operation, Transaction } from '../store/store.ts'
import { lifeOf, take, type Verdict } from './bucket.ts'

/** Where an operation takes the time from, in microseconds; `lua` sets the local `now`. */
export interface Clock {
  readonly lua: string
  now(tx: Transaction, args: readonly (string | number)[]): number
}

const storeClock: Clock = {
  lua: `local clock = redis.call('TIME') local now = clock[1] * 1000000 + clock[2]`,
  now: (tx) => tx.now * 1000
}

/**
 * Takes one permission out of the bucket KEYS[1]; ARGV: microseconds between requests, slack. The Lua is `take` of bucket.ts line by
 * line; test/limits/take.test.ts holds the two together.
 */
export const takeWith = (clock: Clock): Operation<Verdict> => ({
  name: 'limits.take',
  lua: `
    ${clock.lua}
    local per, slack = tonumber(ARGV[1]), tonumber(ARGV[2])
    local full = (slack + 1) * per
    local time = tonumber(redis.call('GET', KEYS[1]) or nil)
    local due
    if not time or now - time > full then due = now - full + per
    elseif time > now then due = now
    else due = time + per end
    if due > now then
      return { 0, 0, math.ceil((due - now) / 1000), math.ceil((time + full - now) / 1000) }
    end
    local life = math.ceil((due + full - now) / 1000)
    redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', string.format('%.0f', life + 1))
    return { 1, math.floor((now - due) / per), 0, life }`,
  transact(tx, [key = ''], args) {
    const rate = { per: Number(args[0]), slack: Number(args[1]) }
    const now = clock.now(tx, args)
    const { time, verdict } = take(tx.get<number>(key), now, rate)
    if (verdict.allowed) tx.put(key, time, lifeOf(time, now, rate))
    const { allowed, remaining, retryAfterMs, resetMs } = verdict
    return [allowed ? 1 : 0, remaining, retryAfterMs, resetMs]
  },
  decode(raw) {
    const [allowed, remaining = 0, retryAfterMs = 0, resetMs = 0] = raw as number[]
    return { allowed: allowed === 1, remaining, retryAfterMs, resetMs }
  }
})

export const takeOperation = takeWith(storeClock)
