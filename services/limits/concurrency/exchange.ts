import type { Operation } from '../../store/store.ts'

/** What the store said to one exchange. */
export interface Exchanged {
  /** How many of the places asked for it gave. */
  readonly granted: number
  /** Places taken by all processes together, these included. */
  readonly taken: number
}

export const storeKey = (key: string): string => `toll:{places:${key}}`

/**
 * Tells the store how many places of a key this process holds, and asks for more. KEYS key. ARGV process, places it holds, places it
 * wants, places there are, milliseconds its word is worth, number of this word.
 *
 * What it holds is told as a whole and never as a difference, so a word that was lost or came twice is put right by the next one. The
 * number is for a word that comes late, over a connection that was given up: it must not undo what was said after it.
 */
export const exchange: Operation<Exchanged> = {
  name: 'limits.places',

  lua: `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local held, want, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local others = 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local count, last, number = string.match(fields[i + 1], '^(%d+) (%d+) (%d+)$')
  if fields[i] == ARGV[1] then
    if number and tonumber(number) > tonumber(ARGV[6]) then return { 0, 0 } end
  elseif count and tonumber(last) > now then others = others + tonumber(count)
  else redis.call('HDEL', KEYS[1], fields[i]) end
end
local granted = math.max(0, math.min(want, most - others - held))
local own = held + granted
if own == 0 then redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %.0f %s', own, now + tonumber(ARGV[5]), ARGV[6]))
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return { granted, others + own }
`,

  transact(tx, [key = ''], [process, held, want, most, worth, number]) {
    const mine = `${key}:${process}`
    let others = 0
    for (const { key: whose, value } of tx.range<[count: number, number: number]>(`${key}:`)) {
      if (whose !== mine) others += value[0]
      else if (value[1] > Number(number)) return [0, 0]
    }
    const granted = Math.max(0, Math.min(Number(want), Number(most) - others - Number(held)))
    const own = Number(held) + granted
    if (own === 0) tx.remove(mine)
    else tx.put(mine, [own, Number(number)], Number(worth))
    return [granted, others + own]
  },

  decode: (raw) => {
    const [granted, taken] = numbersOf(raw, 2)
    return { granted: granted!, taken: taken! }
  }
}

/** How many places of a key are taken. KEYS key. */
export const look: Operation<number> = {
  name: 'limits.places-look',

  lua: `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local taken = 0
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local count, last = string.match(value, '^(%d+) (%d+) ')
  if count and tonumber(last) > now then taken = taken + tonumber(count) end
end
return taken
`,

  transact(tx, [key = '']) {
    let taken = 0
    for (const { value } of tx.range<[count: number, number: number]>(`${key}:`)) taken += value[0]
    return taken
  },

  decode: (raw) => numbersOf([raw], 1)[0]!
}

/** Something else may answer on the store's port; what it says must not become a number of places. */
function numbersOf(raw: unknown, length: number): readonly number[] {
  if (
    !Array.isArray(raw) ||
    raw.length !== length ||
    !raw.every((one) => Number.isSafeInteger(one) && one >= 0)
  )
    throw new Error('The store gave an answer that was not asked for.')
  return raw
}
