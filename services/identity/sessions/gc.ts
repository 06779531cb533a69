import type { Operation } from '../../store/store.ts'
import { embeddedOnlineKey } from './online.ts'
import { clockLua } from './records.ts'

export interface OldestOnline {
  /** Entries that were over by time, and are gone now. */
  readonly swept: number
  /** Those seen longest ago of the others. */
  readonly sids: readonly string[]
}

/** Trims the lists of who is online, and says whom to look at. KEYS online sessions, online users. ARGV idle, limit. */
export const oldestOnline: Operation<OldestOnline> = {
  name: 'online-oldest',

  lua: `${clockLua}
local over = whole(now - tonumber(ARGV[1]))
local swept = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', over)
swept = swept + redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', over)
return {swept, redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)}
`,

  transact(tx, _keys, args) {
    const oldest = [...tx.range<number>(embeddedOnlineKey(''))].sort((a, b) => a.value - b.value)
    return [0, oldest.slice(0, Number(args[1])).map(({ key }) => key.slice(embeddedOnlineKey('').length))]
  },

  decode(raw) {
    const [swept, sids] = raw as [number, string[]]
    return { swept: Number(swept), sids }
  }
}

/** Forgets in its user's index a session that is gone. KEYS session, index. ARGV sid, prefix. */
export const prune: Operation<{ readonly isGone: boolean; readonly remaining: number }> = {
  name: 'session-prune',

  lua: `
if redis.call('EXISTS', KEYS[1]) == 1 then return {0, 0} end
redis.call('ZREM', KEYS[2], ARGV[1])
return {1, redis.call('ZCARD', KEYS[2])}
`,

  transact(tx, [key = ''], [, prefix]) {
    if (tx.get(key) !== undefined) return [0, 0]
    return [1, tx.mayHave(String(prefix), 1) ? [...tx.range(String(prefix))].length : 0]
  },

  decode(raw) {
    const [gone, remaining] = raw as number[]
    return { isGone: gone === 1, remaining: Number(remaining) }
  }
}
