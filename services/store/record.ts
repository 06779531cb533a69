import { appendLua, type Operation } from './store.ts'

/**
 * Replaces a record that nobody changed meanwhile, and tells whoever follows the log of it. False when the store has something else than
 * `before` by now. KEYS log, record. ARGV milliseconds the event is kept, before ('' for none), after, event.
 */
export const replaceRecord: Operation<boolean> = {
  name: 'record-replace',

  lua: `${appendLua}
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[3])
append(KEYS[1], ARGV[4], tonumber(ARGV[1]))
return 1
`,

  transact(tx, [log = '', key = ''], [keepMs, before, after, event]) {
    if ((tx.get<string>(key) ?? '') !== before) return 0
    tx.put(key, after)
    tx.append(log, String(event), Number(keepMs))
    return 1
  },

  decode: (raw) => raw === 1
}
