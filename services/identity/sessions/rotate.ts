import type { Operation } from '../../store/store.ts'
import type { RotateOutcome } from './provider.ts'
import { clockLua, type StoredSession } from './records.ts'

/** What the operation gives; where there is no session any more, or not for this client, most of it says nothing. */
export interface Rotation {
  readonly outcome: RotateOutcome
  readonly generation: number
  readonly uid: string
  readonly epoch: number
  readonly stamp: string
  readonly now: number
  readonly createdAt: number
  readonly expiresAt: number
  readonly client: string
  readonly methods: readonly string[]
  /** Sessions the user still has, once this one has ended; 1 where nobody counted. */
  readonly remaining: number
}

/**
 * Exchanges one generation of a session's refresh token for the next.
 * KEYS session, index, epoch. ARGV sid, generation, grace, idle, prefix, unconfirmed, confirmed, client ('' for whichever),
 * and until when a reuse counts, in milliseconds of the store's clock (0: always).
 */
export const rotate: Operation<Rotation> = {
  name: 'session-rotate',

  lua: `${clockLua}
local sid, given, grace, idle = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local unconfirmed, confirmed, client, deadline = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
local s = redis.call('HMGET', KEYS[1], 'gen', 'rat', 'ep', 'ax', 'uid', 'fp', 'cr', 'ls', 'cf', 'cid', 'amr')
if not s[1] then return {'GONE'} end
local generation, rotatedAt, ends = tonumber(s[1]), tonumber(s[2]), tonumber(s[4])
local waited, window = now - rotatedAt, grace
if math.max(confirmed, tonumber(s[9])) < generation then window = math.max(grace, unconfirmed) end
local outcome
if now >= ends or now >= tonumber(s[8]) + idle then
  outcome = 'EXPIRED'
elseif tonumber(s[3]) < tonumber(redis.call('GET', KEYS[3]) or '0') then
  outcome = 'REVOKED'
elseif client ~= '' and client ~= s[10] then
  return {'CLIENT'}
elseif given == generation then
  outcome = 'ROTATED'
elseif given > generation then
  outcome = 'FASTFORWARD'
elseif given == generation - 1 and waited < window then
  outcome = 'REPLAY'
elseif deadline > 0 and now > deadline then
  return {'LATE'}
else
  outcome = 'REUSE'
end
if outcome == 'ROTATED' or outcome == 'FASTFORWARD' then
  generation = given + 1
  redis.call('HSET', KEYS[1], 'gen', whole(generation), 'rat', whole(now))
end
local remaining = 0
if outcome == 'ROTATED' or outcome == 'FASTFORWARD' or outcome == 'REPLAY' then
  redis.call('HSET', KEYS[1], 'ls', whole(now))
  redis.call('PEXPIRE', KEYS[1], whole(math.min(idle, ends - now)))
  redis.call('ZADD', KEYS[2], whole(now), sid)
else
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], sid)
  remaining = redis.call('ZCARD', KEYS[2])
end
return {outcome, generation, s[5], s[3], s[6], now, s[7], s[4], remaining, s[10], s[11]}
`,

  transact(tx, [key = '', , epochKey = ''], args) {
    const [given = 0, grace = 0, idle = 0, , unconfirmed = 0, confirmed = 0] = args.slice(1, 7).map(Number)
    const [client, deadline] = [String(args[7]), Number(args[8])]
    const session = tx.get<StoredSession>(key)
    if (session === undefined) return ['GONE']
    const outcome = outcomeOf(session, {
      now: tx.now,
      given,
      grace,
      idle,
      unconfirmed,
      confirmed,
      client,
      deadline,
      epoch: tx.get<number>(epochKey) ?? 0
    })
    if (outcome === 'CLIENT' || outcome === 'LATE') return [outcome]
    const isNew = outcome === 'ROTATED' || outcome === 'FASTFORWARD'
    const generation = isNew ? given + 1 : session.generation
    let remaining = 0
    if (isNew || outcome === 'REPLAY') {
      const rotatedAt = isNew ? tx.now : session.rotatedAt
      const next: StoredSession = { ...session, generation, rotatedAt, lastSeenAt: tx.now }
      tx.put(key, next, Math.min(idle, session.expiresAt - tx.now))
    } else {
      tx.remove(key)
      remaining = [...tx.range(String(args[4]))].length
    }
    const { uid, epoch, stamp, createdAt, expiresAt, methods } = session
    const about = [createdAt, expiresAt, remaining, session.client, methods.join(' ')]
    return [outcome, generation, uid, epoch, stamp, tx.now, ...about]
  },

  decode(raw) {
    const [outcome, generation, uid, epoch, stamp, now, ...about] = raw as (string | number)[]
    const [createdAt, expiresAt, remaining, client, methods] = about
    return {
      outcome: outcome as RotateOutcome,
      generation: Number(generation),
      uid: String(uid),
      epoch: Number(epoch),
      stamp: String(stamp),
      now: Number(now),
      createdAt: Number(createdAt),
      expiresAt: Number(expiresAt),
      client: String(client),
      methods: String(methods).split(' '),
      remaining: Number(remaining ?? 1)
    }
  }
}

interface Attempt {
  readonly now: number
  readonly given: number
  readonly grace: number
  readonly idle: number
  readonly unconfirmed: number
  readonly confirmed: number
  readonly client: string
  readonly deadline: number
  readonly epoch: number
}

function outcomeOf(session: StoredSession, attempt: Attempt): RotateOutcome {
  const { now, given, grace, idle, epoch, client, deadline } = attempt
  if (now >= session.expiresAt || now >= session.lastSeenAt + idle) return 'EXPIRED'
  if (session.epoch < epoch) return 'REVOKED'
  if (client !== '' && client !== session.client) return 'CLIENT'
  if (given === session.generation) return 'ROTATED'
  if (given > session.generation) return 'FASTFORWARD'
  const isConfirmed = Math.max(session.confirmed, attempt.confirmed) >= session.generation
  const window = isConfirmed ? grace : Math.max(grace, attempt.unconfirmed)
  if (given === session.generation - 1 && now - session.rotatedAt < window) return 'REPLAY'
  return deadline > 0 && now > deadline ? 'LATE' : 'REUSE'
}
