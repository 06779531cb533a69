import type { Operation } from '../../store/store.ts'
import { type DataRead, type DataWritten, maxSessionData } from './provider.ts'
import type { StoredSession } from './records.ts'

/** In Redis each value of a session's data is a field of its hash, under this and its name. */
const field = (name: string): string => `d:${name}`

/** One value of a session's data. KEYS session. ARGV name, field. */
export const readData: Operation<DataRead> = {
  name: 'session-data-read',

  lua: `
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
return {1, redis.call('HGET', KEYS[1], ARGV[2]) or ''}
`,

  transact(tx, [key = ''], [name]) {
    const session = tx.get<StoredSession>(key)
    if (session === undefined) return []
    return [1, (session.data ?? []).find(([other]) => other === name)?.[1] ?? '']
  },

  decode(raw) {
    const [found, json] = raw as [number?, string?]
    // JSON is never empty.
    return found === undefined ? { outcome: 'GONE' } : { outcome: 'READ', json: json || undefined }
  }
}

/** Sets one value, or removes it where JSON is ''. KEYS session. ARGV name, field, JSON, idle. */
export const writeData: Operation<DataWritten> = {
  name: 'session-data-write',

  // The hash is read whole to add up: at most these bytes and what is known of the session, and a sum of its own could drift.
  lua: `
if redis.call('EXISTS', KEYS[1]) == 0 then return 'GONE' end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
  return 'WRITTEN'
end
local bytes = #ARGV[1] + #ARGV[3]
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'd:' and all[i] ~= ARGV[2] then bytes = bytes + #all[i] - 2 + #all[i + 1] end
end
if bytes > ${maxSessionData} then return 'FULL' end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 'WRITTEN'
`,

  transact(tx, [key = ''], args) {
    const session = tx.get<StoredSession>(key)
    if (session === undefined) return 'GONE'
    const [name, json] = [String(args[0]), String(args[2])]
    const data = (session.data ?? []).filter(([other]) => other !== name)
    if (json !== '') data.push([name, json])
    const bytes = data.reduce((sum, pair) => sum + Buffer.byteLength(pair.join('')), 0)
    if (json !== '' && bytes > maxSessionData) return 'FULL'
    const left = Math.min(session.lastSeenAt + Number(args[3]), session.expiresAt) - tx.now
    tx.put(key, { ...session, data }, Math.max(1, left))
    return 'WRITTEN'
  },

  decode: (raw) => raw as DataWritten
}

export const dataArgs = (name: string, ...rest: (string | number)[]): (string | number)[] => [
  name,
  field(name),
  ...rest
]
