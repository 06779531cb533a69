import t from 'tap'
import { grant, lifeOf, type Rate, rateOf, type Verdict, verdictOf } from '../../services/limits/bucket.ts'
import { LocalCounts } from '../../services/limits/local.ts'
import {
  type Answer,
  type Asked,
  argsOf,
  type Clock,
  gone,
  keysOf,
  takeOperation,
  takeWith
} from '../../services/limits/take.ts'
import type { Quota } from '../../services/limits/window.ts'
import { openEmbedded } from '../../services/store/embedded.ts'
import { openRedis } from '../../services/store/redis.ts'
import { startRedis } from '../support/redis.ts'

/** Takes from the bucket `key` at `now` (microseconds). */
type Take = (key: string, now: number, numbers: Rate | Quota) => Promise<Verdict>

// The test's clock is one more argument; all else is what the gateway runs.
const given: Clock = { lua: 'local now = tonumber(ARGV[#ARGV])', now: (_tx, args) => Number(args.at(-1)) }
const operation = takeWith(given)
const start = 1_800_000_000_000_000
const ms = 1000
/**
 * The buckets' clock is the test's, but the stores forget them by their own: all of it happens a thousand times slower than its name
 * says, so that nothing is forgotten while a test runs.
 */
const slower = 1000
const slowRate = ({ qps, ...rest }: Parameters<typeof rateOf>[0]): Rate =>
  rateOf({ qps: qps / slower, ...rest })
const at = (milliseconds: number): number => start + milliseconds * ms * slower

const server = await startRedis()
const redis = await openRedis(server.url, 1000)
const embedded = openEmbedded(`${t.testdir()}/store`)
t.teardown(async () => {
  await redis.close()
  await embedded.close()
  await server.stop()
})

const argumentsOf = (numbers: Rate | Quota, now: number) => [...argsOf([{ numbers, wanted: 1 }]), now]
const first = (answers: readonly Answer[]): Verdict => verdictOf(answers[0]!)
const inRedis: Take = async (key, now, numbers) =>
  first(await redis.run(operation, [key], argumentsOf(numbers, now)))
const inFiles: Take = async (key, now, numbers) =>
  first(await embedded.run(operation, [key], argumentsOf(numbers, now)))
let clock = 0
const counts = new LocalCounts(() => clock / ms)
const inProcess: Take = async (key, now, numbers) => {
  clock = now
  return counts.take(key, numbers)
}

const places: [string, Take][] = [
  ['redis', inRedis],
  ['embedded', inFiles],
  ['process', inProcess]
]
for (const [place, takeAt] of places) {
  const allowedAt = async (key: string, now: number, rate: Rate, offered: number): Promise<number> => {
    let allowed = 0
    for (let index = 0; index < offered; index += 1) if ((await takeAt(key, now, rate)).allowed) allowed += 1
    return allowed
  }

  t.test(`${place}: at 5 a second without slack one of twenty at once passes`, async (t) => {
    t.equal(await allowedAt('five', start, slowRate({ qps: 5, slack: 0 }), 20), 1)
  })

  t.test(
    `${place}: with slack 4 five of twenty at once pass, the first time and after a pause`,
    async (t) => {
      const rate = slowRate({ qps: 5, slack: 4 })
      t.equal(await allowedAt('four', start, rate, 20), 5)
      t.equal(await allowedAt('four', at(60_000), rate, 20), 5)
    }
  )

  t.test(
    `${place}: at 100 a second 45 ms of idleness are worth four requests, then one each 10 ms`,
    async (t) => {
      const rate = slowRate({ qps: 100, slack: 10 })
      t.equal(await allowedAt('uber', start, rate, 30), 11)
      t.equal(await allowedAt('uber', at(45), rate, 4), 4)
      t.match(await takeAt('uber', at(45), rate), { allowed: false, remaining: 0, retryAfterMs: 5 * slower })
      const passed: number[] = []
      for (let time = 46; time <= 90; time += 1)
        if ((await takeAt('uber', at(time), rate)).allowed) passed.push(time)
      t.same(passed, [50, 60, 70, 80, 90])
    }
  )

  t.test(
    `${place}: four times the rate for ten seconds lets the rate through and the slack once`,
    async (t) => {
      const rate = slowRate({ qps: 20, slack: 5 })
      let allowed = 0
      for (let time = 0; time < 10_000; time += 12.5)
        if ((await takeAt('load', at(time), rate)).allowed) allowed += 1
      t.equal(allowed, 205, '200 due, and 5 early ones')
    }
  )

  t.test(`${place}: half a request a second is one every two seconds`, async (t) => {
    const rate = slowRate({ qps: 0.5, slack: 0 })
    t.match(await takeAt('half', start, rate), { allowed: true, remaining: 0, resetMs: 2000 * slower })
    t.match(await takeAt('half', at(500), rate), {
      allowed: false,
      retryAfterMs: 1500 * slower,
      resetMs: 1500 * slower
    })
    t.match(await takeAt('half', at(2000), rate), { allowed: true })
  })

  t.test(`${place}: counts down what is left, says when it is whole again, and it is`, async (t) => {
    const rate = slowRate({ qps: 10, slack: 3 })
    const seen: number[][] = []
    for (let index = 0; index < 5; index += 1) {
      const { allowed, remaining, retryAfterMs, resetMs } = await takeAt('down', start, rate)
      seen.push([allowed ? 1 : 0, remaining, retryAfterMs / slower, resetMs / slower])
    }
    t.same(seen, [
      [1, 3, 0, 100],
      [1, 2, 0, 200],
      [1, 1, 0, 300],
      [1, 0, 0, 400],
      [0, 0, 100, 400]
    ])
    t.equal(await allowedAt('down', at(400), rate, 10), 4)
  })

  t.test(`${place}: being refused pushes nothing away`, async (t) => {
    const rate = slowRate({ qps: 10, slack: 0 })
    t.equal(await allowedAt('push', start, rate, 50), 1)
    t.equal(await allowedAt('push', at(99), rate, 50), 0)
    t.equal(await allowedAt('push', at(100), rate, 50), 1)
  })

  t.test(
    `${place}: a clock that went back starts anew, it does not refuse until it has caught up`,
    async (t) => {
      const rate = slowRate({ qps: 10, slack: 0 })
      t.equal(await allowedAt('back', start, rate, 5), 1)
      t.equal(await allowedAt('back', at(-3_600_000), rate, 5), 1)
      t.equal(await allowedAt('back', at(-3_599_900), rate, 5), 1)
    }
  )

  t.test(`${place}: a request that costs more takes more, and what is left is told in units`, async (t) => {
    const rate = slowRate({ qps: 10, slack: 9, cost: 4 })
    const seen: number[][] = []
    for (let index = 0; index < 3; index += 1) {
      const { allowed, remaining, retryAfterMs } = await takeAt('cost', start, rate)
      seen.push([allowed ? 1 : 0, remaining, retryAfterMs / slower])
    }
    t.same(seen, [
      [1, 6, 0],
      [1, 2, 0],
      [0, 2, 200]
    ])
  })

  t.test(`${place}: who may wait is let through ahead of time and told for how long`, async (t) => {
    const rate = slowRate({ qps: 10, slack: 0, patience: 250 * slower * ms })
    const seen: number[][] = []
    for (let index = 0; index < 4; index += 1) {
      const { allowed, waitMs, retryAfterMs } = await takeAt('wait', start, rate)
      seen.push([allowed ? 1 : 0, waitMs / slower, retryAfterMs / slower])
    }
    t.same(seen, [
      [1, 0, 0],
      [1, 100, 0],
      [1, 200, 0],
      [0, 0, 300]
    ])
  })

  t.test(`${place}: no window has more than its quota in it, wherever it begins`, async (t) => {
    const quota: Quota = { kind: 'quota', units: 100, window: 60_000 * ms * slower, step: 1 }
    const passed: number[] = []
    for (let time = 0; time < 200_000; time += 170) {
      if ((await takeAt('quota', at(time), quota)).allowed) passed.push(time)
    }
    const most = Math.max(
      ...passed.map((from) => passed.filter((time) => time >= from && time < from + 60_000).length)
    )
    t.equal(most, 100)
    t.ok(passed.length >= 100 * 3 && passed.length <= 100 * 4, `${passed.length} in 200 s`)
    t.match(await takeAt('quota', at(10 * 60_000), quota), { allowed: true, remaining: 99 })
  })

  t.test(`${place}: a quota that is used up says when the first of it comes back`, async (t) => {
    const quota: Quota = { kind: 'quota', units: 2, window: 32_000 * ms * slower, step: 1 }
    const from = at(0) - (at(0) % (1000 * ms * slower))
    const after = (milliseconds: number) => from + milliseconds * ms * slower
    t.match(await takeAt('used up', after(0), quota), { allowed: true, remaining: 1 })
    t.match(await takeAt('used up', after(5000), quota), { allowed: true, remaining: 0 })
    const refused = await takeAt('used up', after(6000), quota)
    t.match(refused, {
      allowed: false,
      remaining: 0,
      retryAfterMs: 27_000 * slower,
      resetMs: 32_000 * slower
    })
    t.match(await takeAt('used up', after(32_999), quota), { allowed: false })
    t.match(await takeAt('used up', after(33_000), quota), { allowed: true, remaining: 0 })
  })
}

t.test('all three give the same answers to the same history', async (t) => {
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % below
  }
  for (let history = 0; history < 20; history += 1) {
    const rate = slowRate({
      qps: [0.3, 7, 100, 3000][random(4)]!,
      slack: 2 + random(6),
      cost: 1 + random(3),
      patience: random(2) * random(1_000_000)
    })
    const numbers: Rate | Quota =
      history % 3 === 0
        ? { kind: 'quota', units: 5 + random(10), window: rate.per * 12, step: 1 + random(3) }
        : rate
    const key = `same:${history}`
    let now = start
    for (let index = 0; index < 40; index += 1) {
      now += random(rate.per * 2) - (random(12) === 0 ? rate.per * 3 : 0)
      const answers = await Promise.all(places.map(([, takeAt]) => takeAt(key, now, numbers)))
      if (
        JSON.stringify(answers[0]) === JSON.stringify(answers[1]) &&
        JSON.stringify(answers[0]) === JSON.stringify(answers[2])
      )
        continue
      return t.fail(`history ${history}, step ${index}: ${JSON.stringify(answers)}`)
    }
  }
  return t.pass()
})

t.test('questions asked together are answered one after the other, each by its own numbers', async (t) => {
  const one = slowRate({ qps: 1, slack: 0 })
  const three = slowRate({ qps: 1, slack: 2 })
  const quota: Quota = { kind: 'quota', units: 2, window: 60_000_000, step: 1 }
  const history: [key: string, asked: Asked, count: number][] = [
    ['together:a', { numbers: one, wanted: 1 }, 1],
    ['together:b', { numbers: one, wanted: 1 }, 1],
    ['together:a', { numbers: one, wanted: 1 }, 0],
    ['together:c', { numbers: three, wanted: 2 }, 2],
    ['together:c', { numbers: three, wanted: 2 }, 1],
    ['together:d', { numbers: quota, wanted: 1 }, 1],
    ['together:d', { numbers: quota, wanted: 1, after: 'answer' }, 0],
    ['together:d', { numbers: quota, wanted: 1 }, 0],
    ['together:e', { numbers: one, wanted: 1 }, 1]
  ]
  const keys = history.map(([key]) => key)
  const args = [...argsOf(history.map(([, asked]) => asked)), start]
  const wanted = history.map(([, , count]) => count)
  for (const store of [redis, embedded]) {
    const answers = await store.run(operation, keys, args)
    t.same(
      answers.map(({ count }) => count),
      wanted,
      store.driver
    )
  }
})

t.test('behind a gate nothing is counted unless the gate is there', async (t) => {
  const rate = slowRate({ qps: 1, slack: 2 })
  const quota: Quota = { kind: 'quota', units: 3, window: 60_000_000, step: 1 }
  const behind = (numbers: Rate | Quota, gate: string): Asked => ({ numbers, wanted: 1, gate })
  const history: [key: string, asked: Asked, count: number, remaining: number][] = [
    ['gates:a', behind(rate, 'gates:open'), 1, 2],
    ['gates:a', behind(rate, 'gates:shut'), gone, 0],
    ['gates:a', behind(rate, 'gates:open'), 1, 1],
    ['gates:a', { numbers: rate, wanted: 1 }, 1, 0],
    ['gates:a', behind(rate, 'gates:open'), 0, 0],
    ['gates:b', behind(quota, 'gates:shut'), gone, 0],
    ['gates:b', behind(quota, 'gates:open'), 1, 2],
    ['gates:b', { numbers: quota, wanted: 1 }, 1, 1]
  ]
  const asked = history.map(([, one]) => one)
  const keys = keysOf(
    history.map(([key]) => key),
    asked
  )
  for (const store of [redis, embedded]) {
    await store.set('gates:open', 'here')
    const answers = await store.run(operation, keys, [...argsOf(asked), start])
    t.same(
      answers.map(({ count, remaining }) => [count, remaining]),
      history.map(([, , count, remaining]) => [count, remaining]),
      store.driver
    )
  }
})

t.test('a bucket is kept for as long as it differs from one nobody has used', async (t) => {
  const rate = slowRate({ qps: 2, slack: 1 })
  const { time } = grant(undefined, start, rate)
  const life = lifeOf(time, start, rate)
  const verdictAt = (state: number | undefined, now: number) => verdictOf(grant(state, now, rate))
  t.same(verdictAt(time, start + life * ms), verdictAt(undefined, start + life * ms))
  t.notSame(verdictAt(time, at(100)), verdictAt(undefined, at(100)))
  await redis.run(takeOperation, ['ttl'], argsOf([{ numbers: rate, wanted: 1 }]))
  const left = Number(await redis.client.pttl('ttl'))
  t.ok(left > life - 200 && left <= life, `${left} of ${life} ms`)
})
