import t from 'tap'
import { appendLua, type Operation, type Store } from '../../services/store/store.ts'

const text = (raw: unknown): string => String(raw)

const increment: Operation<number> = {
  name: 'test.increment',
  lua: `
    local value = tonumber(redis.call('GET', KEYS[1]) or '0') + tonumber(ARGV[1])
    redis.call('SET', KEYS[1], string.format('%d', value), 'PX', ARGV[2])
    return value`,
  transact(tx, [key = ''], [by, ttl]) {
    const value = (tx.get<number>(key) ?? 0) + Number(by)
    tx.put(key, value, Number(ttl))
    return value
  },
  decode: Number
}

const clock: Operation<number> = {
  name: 'test.clock',
  lua: `local clock = redis.call('TIME') return clock[1] * 1000 + math.floor(clock[2] / 1000)`,
  transact: (tx) => tx.now,
  decode: Number
}

const nested: Operation<unknown> = {
  name: 'test.nested',
  lua: `return { 1, 'two', { 3, ARGV[1] } }`,
  transact: (_tx, _keys, [last]) => [1, 'two', [3, String(last)]],
  decode: (raw) => raw
}

/** Appends `ARGV[1]` .. events named by number, all in one atomic step. */
const append: Operation<string> = {
  name: 'test.append',
  lua: `${appendLua}
    for index = 1, #ARGV - 1 do append(KEYS[1], ARGV[index + 1], tonumber(ARGV[1])) end
    return 'OK'`,
  transact(tx, [log = ''], [keepMs, ...events]) {
    for (const event of events) tx.append(log, String(event), Number(keepMs))
    return 'OK'
  },
  decode: text
}

export const operations = { increment, append }

/** What every driver must do; `open` gives one more handle on the same data. */
export function storeContract(open: (t: Tap) => Promise<Store>): void {
  t.test('gives back what was set, and undefined for what was not', async (t) => {
    const store = await open(t)
    t.equal(await store.get('toll:a'), undefined)
    await store.set('toll:a', 'ä "1" \u0000 \n')
    t.equal(await store.get('toll:a'), 'ä "1" \u0000 \n')
    await store.set('toll:a', '')
    t.equal(await store.get('toll:a'), '')
  })

  t.test('says of a deleted key whether it was there', async (t) => {
    const store = await open(t)
    await store.set('toll:b', '1')
    t.equal(await store.delete('toll:b'), true)
    t.equal(await store.delete('toll:b'), false)
    t.equal(await store.get('toll:b'), undefined)
  })

  t.test('forgets a value when its time is over, and not before', async (t) => {
    const store = await open(t)
    await store.set('toll:short', '1', 60)
    await store.set('toll:long', '1', 60_000)
    await store.set('toll:kept', '1', 60)
    await store.set('toll:kept', '2')
    t.equal(await store.get('toll:short'), '1')
    await pause(90)
    t.equal(await store.get('toll:short'), undefined)
    t.equal(await store.delete('toll:short'), false, 'what is over is not there to be deleted')
    t.equal(await store.get('toll:long'), '1')
    t.equal(await store.get('toll:kept'), '2', 'a later value without a time stays')
  })

  t.test('lets a value that is written again live from then on', async (t) => {
    const store = await open(t)
    for (let round = 0; round < 4; round += 1) {
      t.equal(await store.run(increment, ['toll:again'], [1, 600]), round + 1)
      await pause(200)
    }
    await pause(600)
    t.equal(await store.run(increment, ['toll:again'], [1, 600]), 1)
  })

  t.test('loses no increment of operations that run at once through two handles', async (t) => {
    const stores = [await open(t), await open(t)]
    const results = await Promise.all(
      Array.from({ length: 400 }, (_, index) => stores[index % 2]!.run(increment, ['toll:n'], [1, 60_000]))
    )
    t.equal(new Set(results).size, 400, 'each got a number of its own')
    t.equal(Math.max(...results), 400)
    t.equal(await stores[0]!.get('toll:n'), '400')
  })

  t.test("runs operations with the store's clock and brings back nested answers", async (t) => {
    const store = await open(t)
    const before = Date.now()
    const now = await store.run(clock, ['toll:clock'], [])
    t.ok(Math.abs(now - before) < 5000, 'milliseconds since the epoch')
    t.same(await store.run(nested, ['toll:x'], ['four']), [1, 'two', [3, 'four']])
  })

  t.test('follows a log: every event once, in order, from now on, whoever appended it', async (t) => {
    const [writer, reader] = [await open(t), await open(t)]
    await writer.run(append, ['toll:log'], [60_000, 'before'])
    const seen: string[] = []
    const follower = await reader.follow('toll:log', {
      onEvent: (event) => seen.push(event),
      onGap: () => seen.push('GAP')
    })
    await Promise.all([
      writer.run(append, ['toll:log'], [60_000, 'a1', 'a2']),
      writer.run(append, ['toll:other'], [60_000, 'foreign']),
      reader.run(append, ['toll:log'], [60_000, 'b1'])
    ])
    await until(() => seen.length >= 3)
    t.same([...seen].sort(), ['a1', 'a2', 'b1'])
    t.ok(seen.indexOf('a1') + 1 === seen.indexOf('a2'), 'one operation, one piece')
    await follower.close()
    await writer.run(append, ['toll:log'], [60_000, 'late'])
    await pause(120)
    t.notOk(seen.includes('late'), 'a closed follower is silent')
  })

  t.test('follows a log that begins later, and many events at once', async (t) => {
    const [writer, reader] = [await open(t), await open(t)]
    const seen: string[] = []
    await reader.follow('toll:new', { onEvent: (event) => seen.push(event), onGap: () => seen.push('GAP') })
    const events = Array.from({ length: 1200 }, (_, index) => `e${index}`)
    for (let start = 0; start < events.length; start += 300)
      await writer.run(append, ['toll:new'], [60_000, ...events.slice(start, start + 300)])
    await until(() => seen.length >= events.length)
    t.same(seen, events)
  })

  t.test('tells a follower again and again that it is up to date', async (t) => {
    const store = await open(t)
    const times: number[] = []
    const started = Date.now()
    await store.follow('toll:quiet', { onEvent: () => {}, onFresh: (at) => times.push(at) })
    await until(() => times.length >= 2)
    t.ok(times[0]! >= started - 5 && times[1]! >= times[0]!)
  })

  t.test('answers a ping, and nothing any more once closed', async (t) => {
    const store = await open(t)
    await store.ping()
    await store.close()
    await store.close()
    const calls: (() => Promise<unknown>)[] = [
      () => store.get('toll:a'),
      () => store.set('toll:a', '1'),
      () => store.ping(),
      () => store.run(increment, ['toll:a'], [1, 1000]),
      () => store.follow('toll:log', { onEvent: () => {} })
    ]
    for (const call of calls)
      await t.rejects(call() as Promise<undefined>, {
        code: 'STORE_UNAVAILABLE',
        headers: { 'retry-after': '1' }
      })
  })
}

/** What shared steps use of a test. */
export type Tap = Pick<typeof t, 'teardown' | 'ok' | 'equal' | 'pass' | 'fail'>

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits for a condition, for at most twenty seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end; await pause(5)) if (condition()) return
  throw new Error(`Not so within 20 s: ${condition}`)
}
