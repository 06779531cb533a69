import type { Operation, Transaction } from '../store/store.ts'
import { charge, type Grant, grant, lifeOf, type Rate, settle } from './bucket.ts'
import { chargeTo, grantOf, parts, type Quota, type Used } from './window.ts'

/** What is asked of one bucket or window: so many requests at most; or, with `after`, to count units that were used already. */
export interface Asked {
  readonly numbers: Rate | Quota
  readonly wanted: number
  /** Units are counted, not asked for: beyond what a request was let through for, or let through without the store. */
  readonly after?: 'answer' | 'absence'
  /** A key that has to be there: without it nothing is counted, and the answer's count is `gone`. */
  readonly gate?: string
}

/** The count where a gate is not there. */
export const gone = -1

export type Answer = Omit<Grant, 'time'>

/** Where an operation takes the time from, in microseconds; `lua` sets the local `now`. */
export interface Clock {
  readonly lua: string
  now(tx: Transaction, args: readonly (string | number)[]): number
}

const storeClock: Clock = {
  lua: `local clock = redis.call('TIME') local now = clock[1] * 1000000 + clock[2]`,
  now: (tx) => tx.now * 1000
}

/** How many arguments a run of questions has. */
const width = 8
/** How many numbers each answer has. */
const answerWidth = 4
/** Answers as they are told: whole numbers in one line, which JavaScript takes exactly. */
const line = /^-?\d{1,15}(?: -?\d{1,15})*$/

/**
 * The arguments of an operation over several keys: for each run of questions that differ in nothing but the key, as those of one limit
 * do, how many they are and what they ask. Each argument is written, sent and read by itself, which costs more than the counting.
 */
export function argsOf(asked: readonly Asked[]): number[] {
  const args: number[] = []
  let run: Asked | undefined
  for (const one of asked) {
    if (
      run?.numbers === one.numbers &&
      run.wanted === one.wanted &&
      run.after === one.after &&
      (run.gate === undefined) === (one.gate === undefined)
    ) {
      args[args.length - width]! += 1
      continue
    }
    run = one
    const { numbers, wanted, after, gate } = one
    const used = after === undefined ? 0 : after === 'answer' ? 2 : 4
    const kind = (numbers.kind === 'rate' ? 0 : 1) + used + (gate === undefined ? 0 : 8)
    if (numbers.kind === 'rate') {
      const { per, full, step, patience, ahead } = numbers
      args.push(1, kind, wanted, per, full, step, patience, ahead)
    } else args.push(1, kind, wanted, numbers.units, numbers.window, numbers.step, 0, 0)
  }
  return args
}

/** The keys of an operation: each question's own, after that of its gate where it has one. */
export const keysOf = (keys: readonly string[], asked: readonly Asked[]): readonly string[] =>
  asked.every(({ gate }) => gate === undefined)
    ? keys
    : keys.flatMap((key, at) => (asked[at]!.gate === undefined ? key : [asked[at]!.gate, key]))

/**
 * Asks several buckets and windows in one operation, one after the other. KEYS as `keysOf` has them, ARGV eight numbers for each run of
 * questions, as `argsOf` writes them. The Lua is bucket.ts and window.ts line by line; test/limits/take.test.ts holds them together.
 */
export const takeWith = (clock: Clock): Operation<readonly Answer[]> => ({
  name: 'limits.take',
  lua: `
${clock.lua}
local function whole(number) return string.format('%.0f', number) end
local function saveBucket(key, time, full)
  redis.call('SET', key, whole(time), 'PX', whole(math.ceil((time + full - now) / 1000) + 1))
end
local function bucket(key, after, wanted, per, full, step, patience, ahead)
  local time = tonumber(redis.call('GET', key) or nil)
  if after == 4 then
    if time then time = math.min(time + wanted * per, now + ahead)
    else time = math.min(now, now - full + wanted * per) end
    saveBucket(key, time, full)
    return 0, 0, 0, 0
  end
  if not time or now - time > full then time = now - full
  elseif time > now + ahead then time = now - step end
  if after == 2 then
    saveBucket(key, math.min(time + wanted * per, now + ahead), full)
    return 0, 0, 0, 0
  end
  local due = time + step - now
  local count = math.min(wanted, math.floor((now + patience - time) / step))
  if count < 1 then count = 0
  else
    time = time + count * step
    saveBucket(key, time, full)
  end
  return count, math.max(0, math.floor((now - time) / per)), due, math.ceil((time + full - now) / 1000)
end
local function window(key, after, wanted, units, length, step)
  local part = length / ${parts}
  local current = math.floor(now / part)
  local function overAt(number) return (number + 1) * part + length end
  local fields = redis.call('HGETALL', key)
  local kept, sum = {}, 0
  for i = 1, #fields, 2 do
    local number, spent = tonumber(fields[i]), tonumber(fields[i + 1])
    if overAt(number) > now and number <= current then
      kept[#kept + 1] = { number, spent }
      sum = sum + spent
    else redis.call('HDEL', key, fields[i]) end
  end
  if after > 0 or (wanted > 0 and sum + step <= units) then
    redis.call('HINCRBY', key, whole(current), after > 0 and wanted or step)
    redis.call('PEXPIRE', key, whole(math.ceil((overAt(current) - now) / 1000) + 1))
    if after > 0 then return 0, 0, 0, 0 end
    return 1, units - sum - step, 0, math.ceil((overAt(current) - now) / 1000)
  end
  table.sort(kept, function(a, b) return a[1] < b[1] end)
  local freed, free = 0, now
  for i = 1, #kept do
    freed = freed + kept[i][2]
    free = overAt(kept[i][1])
    if sum - freed + step <= units then break end
  end
  local reset = 0
  if #kept > 0 then reset = math.ceil((overAt(kept[#kept][1]) - now) / 1000) end
  return 0, math.max(0, units - sum), free - now, reset
end
local answers = {}
local key = 0
for i = 1, #ARGV - ${width - 1}, ${width} do
  local a = {}
  for j = 1, ${width} do a[j] = tonumber(ARGV[i + j - 1]) end
  local hasGate = a[2] >= 8
  local after = a[2] % 8 - a[2] % 2
  local take = a[2] % 2 == 0 and bucket or window
  for _ = 1, a[1] do
    key = key + 1
    local isOpen = true
    if hasGate then
      isOpen = redis.call('EXISTS', KEYS[key]) == 1
      key = key + 1
    end
    local count, remaining, due, reset = ${gone}, 0, 0, 0
    if isOpen then
      count, remaining, due, reset = take(KEYS[key], after, a[3], a[4], a[5], a[6], a[7], a[8])
    end
    answers[#answers + 1] = string.format('%d %d %d %d', count, remaining, due, reset)
  end
end
-- One string: a server and its client need longer for each number of a list than for a whole line of them.
return table.concat(answers, ' ')`,

  transact(tx, keys, args) {
    const now = clock.now(tx, args)
    const answers: number[] = []
    for (let from = 0, at = 0; from + width <= args.length; from += width) {
      const numbers = args.slice(from, from + width).map(Number)
      const [run = 0, kind = 0, wanted = 0, a = 0, b = 0, step = 0, patience = 0, ahead = 0] = numbers
      const hasGate = kind >= 8
      const after = (kind % 8) - (kind % 2)
      for (let left = run; left > 0; left -= 1) {
        const isOpen = !hasGate || tx.get(keys[at]!) !== undefined
        if (hasGate) at += 1
        const key = keys[at]!
        at += 1
        if (!isOpen) {
          answers.push(gone, 0, 0, 0)
          continue
        }
        const { count, remaining, due, resetMs } =
          kind % 2 === 0
            ? askBucket(tx, key, now, after, wanted, { kind: 'rate', per: a, full: b, step, patience, ahead })
            : askWindow(tx, key, now, after, wanted, { kind: 'quota', units: a, window: b, step })
        answers.push(count, remaining, Math.trunc(due), resetMs)
      }
    }
    return answers.join(' ')
  },

  decode(raw) {
    // A server that answers something else is as good as none.
    if (typeof raw !== 'string' || !line.test(raw)) throw new TypeError('The store answered something else.')
    const numbers = raw.split(' ')
    if (numbers.length % answerWidth !== 0) throw new TypeError('The store answered something else.')
    const answers: Answer[] = []
    for (let at = 0; at < numbers.length; at += answerWidth) {
      answers.push({
        count: Number(numbers[at]),
        remaining: Number(numbers[at + 1]),
        due: Number(numbers[at + 2]),
        resetMs: Number(numbers[at + 3])
      })
    }
    return answers
  }
})

export const takeOperation = takeWith(storeClock)

const nothing: Answer = { count: 0, remaining: 0, due: 0, resetMs: 0 }

function askBucket(
  tx: Transaction,
  key: string,
  now: number,
  after: number,
  wanted: number,
  rate: Rate
): Answer {
  const before = tx.get<number>(key)
  if (after > 0) {
    const count = after === 2 ? charge : settle
    const time = count(before, now, rate, wanted)
    tx.put(key, time, lifeOf(time, now, rate))
    return nothing
  }
  const { time, ...answer } = grant(before, now, rate, wanted)
  if (answer.count > 0) tx.put(key, time, lifeOf(time, now, rate))
  return answer
}

function askWindow(
  tx: Transaction,
  key: string,
  now: number,
  after: number,
  wanted: number,
  quota: Quota
): Answer {
  const before = tx.get<Used>(key) ?? []
  const life = Math.ceil((quota.window * (1 + 1 / parts)) / 1000) + 1
  if (after > 0) {
    tx.put(key, chargeTo(before, now, quota, wanted), life)
    return nothing
  }
  const { used, ...answer } = grantOf(before, now, quota, wanted)
  if (answer.count > 0) tx.put(key, used, life)
  return answer
}
