import { appendLua, type Operation, type Store } from '../store/store.ts'
import { type Ban, readBan } from './ban.ts'

/** Tells every gateway of a ban that was placed or lifted. */
export const banLog = 'toll:{bans}:log'

const bansKey = 'toll:{bans}:b'
const indexKey = 'toll:{bans}:ix'
const levelKey = (network: string): string => `toll:{bans}:l:${network}`

/** Milliseconds an event stays in the log: whoever was away for longer reads everything again. */
const keep = 60 * 60 * 1000
const page = 1000

/** A ban that has yet to be placed: how long it lasts is for the store to say, which knows the earlier ones. */
export interface Wish extends Omit<Ban, 'since' | 'until' | 'level'> {
  /** Milliseconds: one for each level, the last for all beyond. */
  readonly durations: readonly number[]
  /** Milliseconds for which the ban counts when the next one is placed. */
  readonly memory: number
  /** Replaces a ban there is; otherwise that one stays as it is. */
  readonly replaces: boolean
}

/** The bans of one store; all reject with StoreUnavailable when it does not answer. */
export class BanRecords {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Places a ban, and returns the one in force: what is there already was another gateway's to place. */
  async place({ network, reason, evidence, by, durations, memory, replaces }: Wish): Promise<Ban> {
    const said = JSON.stringify({ network, reason, evidence, by })
    const text = await this.#store.run(
      place,
      [banLog, bansKey, indexKey, levelKey(network)],
      [network, said, keep, memory, replaces ? 1 : 0, ...durations]
    )
    const ban = readBan(text)
    if (ban === undefined) throw new TypeError('The store answered something else.')
    return ban
  }

  /** Lifts a ban; with `forgets` the next one begins with the first duration again. False when there was none. */
  lift(network: string, forgets: boolean): Promise<boolean> {
    return this.#store.run(
      lift,
      [banLog, bansKey, indexKey, levelKey(network)],
      [network, keep, forgets ? 1 : 0]
    )
  }

  /** All bans in force, `most` at most, and the store's clock in milliseconds since the epoch. */
  async all(most: number): Promise<{ readonly bans: readonly Ban[]; readonly now: number }> {
    const bans = new Map<string, Ban>()
    let at = { cursor: '0', now: 0 }
    do {
      const { texts, ...next } = await this.#store.run(list, [bansKey], [at.cursor, page])
      for (const text of texts) {
        const ban = readBan(text)
        if (ban !== undefined && ban.until > next.now) bans.set(ban.network, ban)
      }
      at = next
    } while (at.cursor !== '0' && bans.size < most)
    return { bans: [...bans.values()], now: at.now }
  }
}

const clockLua = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function whole(n) return string.format('%.0f', n) end
`

/**
 * KEYS log, bans, index, level. ARGV network, what is said of it (JSON without times), milliseconds the event is kept, memory, whether it
 * replaces one, durations. Returns the ban in force, as JSON.
 */
const place: Operation<string> = {
  name: 'bans-place',

  lua: `${appendLua}${clockLua}
local network = ARGV[1]
for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', whole(now), 'LIMIT', 0, 100)) do
  redis.call('HDEL', KEYS[2], over)
  redis.call('ZREM', KEYS[3], over)
end
local before = redis.call('HGET', KEYS[2], network)
if before and ARGV[5] == '0' then return before end
local level = redis.call('INCR', KEYS[4])
redis.call('PEXPIRE', KEYS[4], ARGV[4])
local ttl = tonumber(ARGV[5 + math.min(level, #ARGV - 5)])
local ban = string.sub(ARGV[2], 1, -2) .. ',"since":' .. whole(now) .. ',"until":' .. whole(now + ttl) .. ',"level":' .. level .. '}'
redis.call('HSET', KEYS[2], network, ban)
redis.call('ZADD', KEYS[3], whole(now + ttl), network)
append(KEYS[1], ban, tonumber(ARGV[3]))
return ban
`,

  transact(
    tx,
    [log = '', bans = '', , levels = ''],
    [network, said, keepMs, memory, replaces, ...durations]
  ) {
    const key = `${bans}:${network}`
    const before = tx.get<string>(key)
    if (before !== undefined && Number(replaces) === 0) return before
    const level = (tx.get<number>(levels) ?? 0) + 1
    tx.put(levels, level, Number(memory))
    const ttl = Number(durations[Math.min(level, durations.length) - 1])
    const ban = `${String(said).slice(0, -1)},"since":${tx.now},"until":${tx.now + ttl},"level":${level}}`
    tx.put(key, ban, ttl)
    tx.append(log, ban, Number(keepMs))
    return ban
  },

  decode: String
}

/** KEYS log, bans, index, level. ARGV network, milliseconds the event is kept, whether the level is forgotten. */
const lift: Operation<boolean> = {
  name: 'bans-lift',

  lua: `${appendLua}${clockLua}
if ARGV[3] == '1' then redis.call('DEL', KEYS[4]) end
local ends = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or '0')
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if ends <= now then return 0 end
append(KEYS[1], '-' .. ARGV[1], tonumber(ARGV[2]))
return 1
`,

  transact(tx, [log = '', bans = '', , levels = ''], [network, keepMs, forgets]) {
    if (Number(forgets) === 1) tx.remove(levels)
    const key = `${bans}:${network}`
    if (tx.get(key) === undefined) return 0
    tx.remove(key)
    tx.append(log, `-${network}`, Number(keepMs))
    return 1
  },

  decode: (raw) => raw === 1
}

/** KEYS bans. ARGV where to go on ('0' to begin), how many about. What is there throughout is told, some of it more than once. */
const list: Operation<{ readonly cursor: string; readonly now: number; readonly texts: readonly string[] }> =
  {
    name: 'bans-list',

    lua: `${clockLua}
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local answer = { found[1], whole(now) }
for i = 2, #found[2], 2 do answer[#answer + 1] = found[2][i] end
return answer
`,

    transact(tx, [bans = ''], [cursor, most]) {
      const texts: string[] = []
      for (const { key, value } of tx.range<string>(`${bans}:`)) {
        if (cursor !== '0' && key <= String(cursor)) continue
        texts.push(value)
        if (texts.length >= Number(most)) return [key, tx.now, ...texts]
      }
      return ['0', tx.now, ...texts]
    },

    decode(raw) {
      const [cursor, now, ...texts] = raw as (string | number)[]
      return { cursor: String(cursor), now: Number(now), texts: texts.map(String) }
    }
  }
