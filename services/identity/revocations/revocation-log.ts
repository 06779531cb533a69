import { appendLua, type Operation } from '../../store/store.ts'
import { clockLua, revocationSet } from '../sessions/records.ts'

/** Appends revocations and keeps them for those who start later. KEYS log, set. ARGV keep in milliseconds, then events. */
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

export interface StandingRevocation {
  readonly event: string
  /** Milliseconds until no token it is about can be valid any more. */
  readonly left: number
}

/** Every revocation in force. KEYS set. */
export const standing: Operation<readonly StandingRevocation[]> = {
  name: 'revocation-standing',

  lua: `${clockLua}
local rows = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(now), '+inf', 'WITHSCORES')
rows[#rows + 1] = whole(now)
return rows
`,

  transact(tx, [set = '']) {
    const rows: (string | number)[] = []
    for (const { key, value } of tx.range<number>(`${set}:`)) rows.push(key.slice(set.length + 1), value)
    return [...rows, tx.now]
  },

  decode(raw) {
    const rows = raw as (string | number)[]
    const now = Number(rows.at(-1))
    const found: StandingRevocation[] = []
    for (let at = 0; at + 1 < rows.length; at += 2) {
      found.push({ event: String(rows[at]), left: Number(rows[at + 1]) - now })
    }
    return found
  }
}
