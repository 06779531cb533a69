import type { Operation } from '../../store/store.ts'
import type { Kicked } from './provider.ts'
import type { StoredSession } from './records.ts'

export interface Ended {
  readonly existed: boolean
  /** Sessions the user still has. */
  readonly remaining: number
}

/** Ends one session. KEYS session, index. ARGV sid, prefix. */
export const endSession: Operation<Ended> = {
  name: 'session-end',

  lua: `
local existed = redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return {existed, redis.call('ZCARD', KEYS[2])}
`,

  transact(tx, [key = ''], [, prefix]) {
    const existed = tx.get(key) !== undefined
    tx.remove(key)
    return [existed ? 1 : 0, [...tx.range(String(prefix))].length]
  },

  decode(raw) {
    const [existed, remaining] = raw as number[]
    return { existed: existed === 1, remaining: Number(remaining) }
  }
}

/** Ends every session of a user, and makes every token issued before void. KEYS index, epoch. ARGV prefix, least epoch. */
export const endUser: Operation<Kicked> = {
  name: 'session-end-user',

  lua: `
local sessions = redis.call('ZRANGE', KEYS[1], 0, -1)
local ended = {}
for _, sid in ipairs(sessions) do
  if redis.call('DEL', ARGV[1] .. sid) == 1 then ended[#ended + 1] = sid end
end
redis.call('DEL', KEYS[1])
local epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[2])) + 1
redis.call('SET', KEYS[2], string.format('%.0f', epoch))
return {epoch, ended}
`,

  transact(tx, [, epochKey = ''], [prefix, least]) {
    const keys = [...tx.range<{ sid: string }>(String(prefix))]
    for (const { key } of keys) tx.remove(key)
    const epoch = Math.max(tx.get<number>(epochKey) ?? 0, Number(least)) + 1
    tx.put(epochKey, epoch)
    return [epoch, keys.map(({ value }) => value.sid)]
  },

  decode(raw) {
    const [epoch, sessions] = raw as [number, string[]]
    return { epoch: Number(epoch), sessions }
  }
}

/**
 * Ends the sessions of a user that began with another stamp (password) than the present one; an empty stamp means all.
 * KEYS index. ARGV prefix, stamp. Any number of gateways may do it: the second finds nothing left.
 */
export const endOutdated: Operation<readonly string[]> = {
  name: 'session-end-outdated',

  lua: `
local ended = {}
for _, sid in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local stamp = redis.call('HGET', ARGV[1] .. sid, 'fp')
  if stamp and stamp ~= ARGV[2] then
    redis.call('DEL', ARGV[1] .. sid)
    redis.call('ZREM', KEYS[1], sid)
    ended[#ended + 1] = sid
  end
end
return ended
`,

  transact(tx, _keys, [prefix, stamp]) {
    const outdated = [...tx.range<StoredSession>(String(prefix))].filter(({ value }) => value.stamp !== stamp)
    for (const { key } of outdated) tx.remove(key)
    return outdated.map(({ value }) => value.sid)
  },

  decode: (raw) => raw as string[]
}

/** Raises a user's epoch to what a gateway remembers, after the store lost it. KEYS epoch. ARGV least epoch. */
export const raiseEpoch: Operation<number> = {
  name: 'session-raise-epoch',

  lua: `
local epoch = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', epoch))
return epoch
`,

  transact(tx, [key = ''], [least]) {
    const epoch = Math.max(tx.get<number>(key) ?? 0, Number(least))
    tx.put(key, epoch)
    return epoch
  },

  decode: Number
}
