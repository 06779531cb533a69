import { appendLua, type Operation } from '../../store/store.ts'
import { clockLua, revocationSet } from '../sessions/records.ts'
import { liftedFor } from './revocation-list.ts'

/**
 * Appends revocations and keeps them for those who start later. KEYS log, set. ARGV keep in milliseconds, then events.
 * It trims before it appends: a script that has removed something may go on beyond Redis' maxmemory, and a revocation has to.
 */
export const publish: Operation<void> = {
  name: 'revocation-publish',

  lua: `${appendLua}${clockLua}
local keep = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now))
for i = 2, #ARGV do
  append(KEYS[1], ARGV[i], keep)
  redis.call('ZADD', KEYS[2], 'GT', whole(now + keep), ARGV[i])
end
return 1
`,

  transact(tx, [log = ''], args) {
    const keep = Number(args[0])
    for (const event of args.slice(1)) {
      tx.append(log, String(event), keep)
      tx.put(`${revocationSet}:${event}`, tx.now + keep, keep)
    }
    return 1
  },

  decode: () => undefined
}

/**
 * Closes a client or key until it is lifted, or lifts that. Of two events about one name the greater stamp holds.
 * KEYS log, lasting. ARGV keep, event, field, stamp, 1 (closed) or 0 (lifted). Liftings are forgotten after a day.
 */
export const settle: Operation<void> = {
  name: 'revocation-settle',

  // PERSIST changes nothing and makes the script one that may go on beyond maxmemory, as above.
  lua: `${appendLua}${clockLua}
redis.call('PERSIST', KEYS[2])
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  local stamp, closed = string.match(fields[i + 1], '^(%d+) (%d)$')
  if closed == '0' and tonumber(stamp) + ${liftedFor} < now then redis.call('HDEL', KEYS[2], fields[i]) end
end
local before = redis.call('HGET', KEYS[2], ARGV[3])
if before and tonumber(string.match(before, '^%d+')) >= tonumber(ARGV[4]) then return 1 end
append(KEYS[1], ARGV[2], tonumber(ARGV[1]))
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4] .. ' ' .. ARGV[5])
return 1
`,

  transact(tx, [log = '', lasting = ''], args) {
    const [keep = 0, event, field, stamp = 0, closed] = args
    const key = `${lasting}:${field}`
    if ((tx.get<[number, string]>(key)?.[0] ?? -1) >= Number(stamp)) return 1
    tx.append(log, String(event), Number(keep))
    tx.put(key, [Number(stamp), String(event)], Number(closed) === 1 ? undefined : liftedFor)
    return 1
  },

  decode: () => undefined
}

export interface StandingRevocation {
  readonly event: string
  /** Milliseconds until no token it is about can be valid any more. */
  readonly left: number
}

export interface StandingPage {
  readonly found: readonly StandingRevocation[]
  readonly isLast: boolean
}

/**
 * Revocations in force, those that last longest first. KEYS set. ARGV offset, limit.
 * By rank from the top: what is added between two pages makes one see some twice, and is in the log besides; nothing is missed.
 */
export const standing: Operation<StandingPage> = {
  name: 'revocation-standing',

  lua: `${clockLua}
local rows = redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
rows[#rows + 1] = #rows < 2 * ARGV[2] and 1 or 0
rows[#rows + 1] = whole(now)
return rows
`,

  // Those of one machine in one piece: it is read where it lies.
  transact(tx, [set = '']) {
    const rows: (string | number)[] = []
    for (const { key, value } of tx.range<number>(`${set}:`)) rows.push(key.slice(set.length + 1), value)
    return [...rows, 1, tx.now]
  },

  decode(raw) {
    const rows = raw as (string | number)[]
    const now = Number(rows.at(-1))
    const found: StandingRevocation[] = []
    for (let at = 0; at + 3 < rows.length; at += 2) {
      const left = Number(rows[at + 1]) - now
      if (left > 0) found.push({ event: String(rows[at]), left })
    }
    return { found, isLast: Number(rows.at(-2)) === 1 }
  }
}

/** The events of all clients and keys that are closed or were lifted lately. KEYS lasting. */
export const lasting: Operation<readonly string[]> = {
  name: 'revocation-lasting',

  lua: `
local fields = redis.call('HGETALL', KEYS[1])
local events = {}
for i = 1, #fields, 2 do events[#events + 1] = fields[i] .. ' ' .. fields[i + 1] end
return events
`,

  transact: (tx, [key = '']) => [...tx.range<[number, string]>(`${key}:`)].map(({ value }) => value[1]),

  decode: (raw) => raw as string[]
}
