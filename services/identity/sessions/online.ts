import type { Operation } from '../../store/store.ts'
import type { Online } from './provider.ts'
import { clockLua, onlineSessionsKey } from './records.ts'
import { userHashLength, userHashOf } from './refresh-token.ts'

export const embeddedOnlineKey = (sid: string): string => `${onlineSessionsKey}:${sid}`

/** Notes who is there. KEYS online sessions, online users. ARGV idle, then sid and age in milliseconds, again and again. */
export const markOnline: Operation<void> = {
  name: 'online-mark',

  lua: `${clockLua}
local idle = tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  local seen = whole(now - tonumber(ARGV[i + 1]))
  redis.call('ZADD', KEYS[1], 'GT', seen, ARGV[i])
  redis.call('ZADD', KEYS[2], 'GT', seen, string.sub(ARGV[i], 1, ${userHashLength}))
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now - idle))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now - idle))
return 1
`,

  transact(tx, _keys, args) {
    const idle = Number(args[0])
    for (let at = 1; at < args.length; at += 2) {
      const key = embeddedOnlineKey(String(args[at]))
      const seen = tx.now - Number(args[at + 1])
      if (seen + idle > tx.now && seen > (tx.get<number>(key) ?? 0)) tx.put(key, seen, seen + idle - tx.now)
    }
    return 1
  },

  decode: () => undefined
}

/** Forgets sessions that ended. KEYS as above. ARGV sid and the sessions its user still has, again and again. */
export const markOffline: Operation<void> = {
  name: 'online-unmark',

  lua: `
for i = 1, #ARGV, 2 do
  redis.call('ZREM', KEYS[1], ARGV[i])
  if ARGV[i + 1] == '0' then redis.call('ZREM', KEYS[2], string.sub(ARGV[i], 1, ${userHashLength})) end
end
return 1
`,

  transact(tx, _keys, args) {
    for (let at = 0; at < args.length; at += 2) tx.remove(embeddedOnlineKey(String(args[at])))
    return 1
  },

  decode: () => undefined
}

/** Counts who was there within `idle`. KEYS as above. ARGV idle. */
export const countOnline: Operation<Online> = {
  name: 'online-count',

  lua: `${clockLua}
local since = '(' .. whole(now - tonumber(ARGV[1]))
return {redis.call('ZCOUNT', KEYS[1], since, '+inf'), redis.call('ZCOUNT', KEYS[2], since, '+inf')}
`,

  transact(tx) {
    const users = new Set<string>()
    let sessions = 0
    for (const { key } of tx.range(embeddedOnlineKey(''))) {
      sessions += 1
      users.add(userHashOf(key.slice(embeddedOnlineKey('').length)))
    }
    return [sessions, users.size]
  },

  decode(raw) {
    const [sessions, users] = raw as number[]
    return { sessions: Number(sessions), users: Number(users) }
  }
}

/** Session ids, the one seen last first. KEYS as above. ARGV idle, offset, limit. */
export const pageOnline: Operation<readonly string[]> = {
  name: 'online-page',

  lua: `${clockLua}
local since = '(' .. whole(now - tonumber(ARGV[1]))
return redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', since, 'LIMIT', ARGV[2], ARGV[3])
`,

  transact(tx, _keys, args) {
    const [offset = 0, limit = 0] = args.slice(1).map(Number)
    return [...tx.range<number>(embeddedOnlineKey(''))]
      .sort((a, b) => b.value - a.value)
      .slice(offset, offset + limit)
      .map(({ key }) => key.slice(embeddedOnlineKey('').length))
  },

  decode: (raw) => raw as string[]
}
