import type { Operation } from '../../store/store.ts'
import type { SessionRecord } from './provider.ts'
import { fromRow, readLua, type StoredSession, toRow } from './records.ts'

/** A user's sessions, the one used last first. KEYS index. ARGV prefix, limit. */
export const listUser: Operation<readonly SessionRecord[]> = {
  name: 'session-list',

  lua: `${readLua}
local rows = {}
for _, sid in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)) do
  local s = read(ARGV[1] .. sid)
  if s then rows[#rows + 1] = {sid, s} end
end
return rows
`,

  transact(tx, _keys, [prefix, limit]) {
    return [...tx.range<StoredSession>(String(prefix))]
      .sort((a, b) => b.value.lastSeenAt - a.value.lastSeenAt)
      .slice(0, Number(limit))
      .map(({ value }) => [value.sid, toRow(value)])
  },

  decode: (raw) => (raw as [string, unknown][]).map(([sid, row]) => fromRow(sid, row))
}

/** One session. KEYS session. ARGV sid. */
export const readSession: Operation<SessionRecord | undefined> = {
  name: 'session-read',

  lua: `${readLua}
local s = read(KEYS[1])
if not s then return {} end
return {ARGV[1], s}
`,

  transact(tx, [key = ''], [sid]) {
    const session = tx.get<StoredSession>(key)
    return session === undefined ? [] : [String(sid), toRow(session)]
  },

  decode(raw) {
    const [sid, row] = raw as [string?, unknown?]
    return sid === undefined ? undefined : fromRow(sid, row)
  }
}
