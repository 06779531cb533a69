import type { Operation, Transaction } from '../../store/store.ts'
import type { Started } from './provider.ts'
import { clockLua, type StoredSession } from './records.ts'

/**
 * Begins a session.
 * KEYS session, index, epoch. ARGV sid, uid, idle, absolute, cap, evict (1 or 0), least epoch, address, agent, stamp, prefix, client, methods.
 */
export const create: Operation<Started> = {
  name: 'session-create',

  // SETRANGE writes nothing here. It is refused when Redis is out of memory; a script that began by removing something would go on
  // beyond maxmemory instead, and every sign-in would push it further.
  lua: `${clockLua}
redis.call('SETRANGE', KEYS[3], 0, '')
local sid, uid, idle, absolute = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local cap, evict, floor, prefix = tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[7]), ARGV[11]
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now - idle))
local evicted = {}
if cap > 0 then
  for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if redis.call('ZCARD', KEYS[2]) < cap then break end
    if redis.call('EXISTS', prefix .. old) == 0 then
      redis.call('ZREM', KEYS[2], old)
    elseif evict then
      redis.call('DEL', prefix .. old)
      redis.call('ZREM', KEYS[2], old)
      evicted[#evicted + 1] = old
    else
      return {'CAP'}
    end
  end
end
local epoch = tonumber(redis.call('GET', KEYS[3]) or '0')
if epoch < floor then
  epoch = floor
  redis.call('SET', KEYS[3], whole(epoch))
end
local ends = now + absolute
redis.call('HSET', KEYS[1], 'uid', uid, 'ep', whole(epoch), 'cr', whole(now), 'ls', whole(now), 'ax', whole(ends),
  'gen', '0', 'rat', whole(now), 'cf', '0', 'ip', ARGV[8], 'ua', ARGV[9], 'fp', ARGV[10], 'cid', ARGV[12], 'amr', ARGV[13])
redis.call('PEXPIRE', KEYS[1], whole(math.min(idle, absolute)))
redis.call('ZADD', KEYS[2], whole(now), sid)
redis.call('PEXPIRE', KEYS[2], whole(absolute))
return {'CREATED', epoch, now, ends, evicted}
`,

  transact(tx, [session = '', , epochKey = ''], args) {
    const [sid, uid, address, agent, stamp, prefix, client, methods] = [0, 1, 7, 8, 9, 10, 11, 12].map((at) =>
      String(args[at])
    )
    const [idle = 0, absolute = 0, cap = 0, evict, floor = 0] = args.slice(2, 7).map(Number)
    const evicted = cap > 0 ? overflow(tx, prefix!, cap) : []
    if (evicted.length > 0 && evict !== 1) return ['CAP']
    for (const old of evicted) tx.remove(`${prefix}${old}`)
    const stored = tx.get<number>(epochKey) ?? 0
    if (stored < floor) tx.put(epochKey, floor)
    const epoch = Math.max(stored, floor)
    const expiresAt = tx.now + absolute
    const record: StoredSession = {
      sid: sid!,
      uid: uid!,
      epoch,
      createdAt: tx.now,
      lastSeenAt: tx.now,
      expiresAt,
      generation: 0,
      rotatedAt: tx.now,
      confirmed: 0,
      address: address!,
      agent: agent!,
      client: client!,
      methods: methods!.split(' '),
      stamp: stamp!
    }
    tx.put(session, record, Math.min(idle, absolute))
    return ['CREATED', epoch, tx.now, expiresAt, evicted]
  },

  decode(raw) {
    const [outcome, epoch, now, expiresAt, evicted] = raw as unknown[]
    if (outcome === 'CAP') return { outcome }
    return {
      outcome: 'CREATED',
      epoch: Number(epoch),
      now: Number(now),
      expiresAt: Number(expiresAt),
      evicted: evicted as string[]
    }
  }
}

/** The sessions that have to go for one more to fit, those used least recently first. */
function overflow(tx: Transaction, prefix: string, cap: number): string[] {
  if (!tx.mayHave(prefix, cap)) return []
  const live = [...tx.range<StoredSession>(prefix)].map(({ value }) => value)
  live.sort((a, b) => a.lastSeenAt - b.lastSeenAt || (a.sid < b.sid ? -1 : 1))
  return live.slice(0, Math.max(0, live.length - cap + 1)).map(({ sid }) => sid)
}
