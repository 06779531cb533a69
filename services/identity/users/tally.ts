import type { Operation } from '../../store/store.ts'
import { clockLua } from '../sessions/records.ts'

/** Keys of all counters share a hash tag: one attempt is counted in several of them, in one operation. */
export const counterPrefix = 'toll:{lk}:'
export const lockIndex = 'toll:{lk}:ix'

/** What is asked of the counters: may one try, and how did it end. */
export type Mode = 'look' | 'failed' | 'passed'

export interface Tallied {
  /** Milliseconds for which nobody may try; 0 when one may. */
  readonly wait: number
  /** Which counter it is that says so, or which counters this failure has locked; numbers from 0. */
  readonly locked: readonly number[]
}

interface Counter {
  readonly failures: number
  readonly until: number
}

/**
 * Looks at the counters of one attempt, and counts how it ended. While one of them is locked nothing is counted and nothing counts, not
 * even a right password: of many guesses sent at once no more than the limit learn anything.
 *
 * Counters are named by their kind (`p`air, `d`evice, `u`ser, `a`ddress), a colon, and what is counted. Success clears pair and device
 * only: whoever guesses may have an account as well.
 *
 * KEYS index, counters. ARGV mode, first, longest, window, then of each counter its name and limit.
 */
export const tally: Operation<Tallied> = {
  name: 'lockout-tally',

  lua: `${clockLua}
local mode, first, longest, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local wait, by = 0, 0
for i = 2, #KEYS do
  local left = tonumber(redis.call('HGET', KEYS[i], 'until') or '0') - now
  if left > wait then wait, by = left, i - 2 end
end
if wait > 0 then return {wait, by} end
local locked = {0}
for i = 2, #KEYS do
  local name, limit = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  local kind = string.sub(name, 1, 1)
  if mode == 'passed' and (kind == 'p' or kind == 'd') then redis.call('DEL', KEYS[i]) end
  if mode == 'failed' then
    local over = redis.call('HINCRBY', KEYS[i], 'failures', 1) - limit
    local lock = 0
    if over >= 0 then
      lock = math.min(longest, first * 2 ^ math.min(over, 40))
      redis.call('HSET', KEYS[i], 'until', whole(now + lock))
      redis.call('ZADD', KEYS[1], whole(now + lock), name)
      locked[#locked + 1] = i - 2
    end
    redis.call('PEXPIRE', KEYS[i], whole(window + lock))
  end
end
if #locked > 1 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now))
  redis.call('PEXPIRE', KEYS[1], whole(longest))
end
return locked
`,

  transact(tx, [index, ...counters], [mode, ...args]) {
    const [first = 0, longest = 0, window = 0] = args.slice(0, 3).map(Number)
    const read = (key: string) => tx.get<Counter>(key) ?? { failures: 0, until: 0 }
    let wait = 0
    let by = 0
    for (const [at, key] of counters.entries()) {
      const left = read(key).until - tx.now
      if (left > wait) [wait, by] = [left, at]
    }
    if (wait > 0) return [wait, by]
    const locked = [0]
    for (const [at, key] of counters.entries()) {
      const name = String(args[3 + 2 * at])
      if (mode === 'passed' && /^[pd]/.test(name)) tx.remove(key)
      if (mode !== 'failed') continue
      const before = read(key)
      const failures = before.failures + 1
      const over = failures - Number(args[4 + 2 * at])
      const lock = over < 0 ? 0 : Math.min(longest, first * 2 ** Math.min(over, 40))
      const until = over < 0 ? before.until : tx.now + lock
      tx.put(key, { failures, until }, window + lock)
      if (over < 0) continue
      tx.put(`${index}:${name}`, until, lock)
      locked.push(at)
    }
    return locked
  },

  decode(raw) {
    const [wait = 0, ...locked] = (raw as unknown[]).map(Number)
    return { wait, locked }
  }
}

/** The counters that are locked now, by name, and until when. KEYS index. ARGV how many at most. */
export const listLocks: Operation<readonly (readonly [name: string, until: number])[]> = {
  name: 'lockout-list',

  lua: `${clockLua}
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(now), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
`,

  transact(tx, [index], [limit]) {
    const prefix = `${index}:`
    const all = [...tx.range<number>(prefix)].map(
      ({ key, value }) => [key.slice(prefix.length), value] as const
    )
    all.sort(([a, one], [b, other]) => one - other || (a < b ? -1 : 1))
    return all.slice(0, Number(limit)).flat()
  },

  decode(raw) {
    const flat = raw as (string | number)[]
    return Array.from({ length: flat.length / 2 }, (_, at) => [
      String(flat[2 * at]),
      Number(flat[2 * at + 1])
    ])
  }
}

/** Forgets what was counted for one user: how many locks that lifted. KEYS index. ARGV prefix of counters, the user's hash. */
export const unlock: Operation<number> = {
  name: 'lockout-unlock',

  lua: `${clockLua}
local prefix, user = ARGV[1], ARGV[2]
local lifted = 0
redis.call('DEL', prefix .. 'u:' .. user)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(now), '+inf')) do
  if string.sub(name, 1, 1) ~= 'a' and string.sub(name, 3, 2 + #user) == user then
    redis.call('DEL', prefix .. name)
    redis.call('ZREM', KEYS[1], name)
    lifted = lifted + 1
  end
end
return lifted
`,

  transact(tx, [index], [prefix, user]) {
    const listed = `${index}:`
    tx.remove(`${prefix}u:${user}`)
    const names = [...tx.range(listed)].map(({ key }) => key.slice(listed.length))
    const theirs = names.filter((name) => name[0] !== 'a' && name.startsWith(String(user), 2))
    for (const name of theirs) {
      tx.remove(prefix + name)
      tx.remove(listed + name)
    }
    return theirs.length
  },

  decode: Number
}
