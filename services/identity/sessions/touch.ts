import type { Operation } from '../../store/store.ts'
import { clockLua, type StoredSession } from './records.ts'

/**
 * Notes that a session was used `age` milliseconds ago, never backwards, and that a token of the generation `confirmed` was.
 * KEYS session, index. ARGV sid, age, idle, confirmed.
 * False when there is no such session.
 */
export const touch: Operation<boolean> = {
  name: 'session-touch',

  lua: `${clockLua}
local s = redis.call('HMGET', KEYS[1], 'ls', 'ax', 'cf')
if not s[1] then return 0 end
if tonumber(ARGV[4]) > tonumber(s[3]) then redis.call('HSET', KEYS[1], 'cf', ARGV[4]) end
local seen, idle = now - tonumber(ARGV[2]), tonumber(ARGV[3])
if seen > tonumber(s[1]) then
  redis.call('HSET', KEYS[1], 'ls', whole(seen))
  redis.call('PEXPIRE', KEYS[1], whole(math.min(seen + idle, tonumber(s[2])) - now))
  redis.call('ZADD', KEYS[2], 'XX', whole(seen), ARGV[1])
end
return 1
`,

  transact(tx, [key = ''], args) {
    const session = tx.get<StoredSession>(key)
    if (session === undefined) return 0
    const [age = 0, idle = 0, used = 0] = args.slice(1).map(Number)
    const lastSeenAt = Math.max(tx.now - age, session.lastSeenAt)
    const confirmed = Math.max(used, session.confirmed)
    if (lastSeenAt > session.lastSeenAt || confirmed > session.confirmed) {
      const left = Math.min(lastSeenAt + idle, session.expiresAt) - tx.now
      tx.put(key, { ...session, lastSeenAt, confirmed }, left)
    }
    return 1
  },

  decode: (raw) => raw === 1
}

/** Which sessions are there, for routes that ask at every request. KEYS sessions. */
export const exists: Operation<readonly boolean[]> = {
  name: 'session-exists',
  lua: `
local found = {}
for i = 1, #KEYS do found[i] = redis.call('EXISTS', KEYS[i]) end
return found`,
  transact: (tx, keys) => keys.map((key) => (tx.get(key) === undefined ? 0 : 1)),
  decode: (raw) => [raw].flat().map((found) => found === 1)
}
