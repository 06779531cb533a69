import t from 'tap'
import { lifeOf, type Rate, rateOf, take, type Verdict } from '../../services/limits/bucket.ts'
import { LocalBuckets } from '../../services/limits/local-buckets.ts'
import { type Clock, takeWith } from '../../services/limits/take.ts'
import { openEmbedded } from '../../services/store/embedded.ts'
import { openRedis } from '../../services/store/redis.ts'
import { startRedis } from '../support/redis.ts'

/** Takes from the bucket `key` at `now` (microseconds). */
type Take = (key: string, now: number, rate: Rate) => Promise<Verdict>

// The test's clock is a third argument; all else is what the gateway runs.
const given: Clock = { lua: 'local now = tonumber(ARGV[3])', now: (_tx, args) => Number(args[2]) }
const operation = takeWith(given)
const start = 1_800_000_000_000_000
const ms = 1000
/**
 * The buckets' clock is the test's, but the stores forget them by their own: all of it happens a thousand times slower than its name
 * says, so that nothing is forgotten while a test runs.
 */
const slower = 1000
const slowRate = ({ qps, slack }: { qps: number; slack: number }): Rate =>
  rateOf({ qps: qps / slower, slack })
const at = (milliseconds: number): number => start + milliseconds * ms * slower

const server = await startRedis()
const redis = await openRedis(server.url, 1000)
const embedded = openEmbedded(`${t.testdir()}/store`)
t.teardown(async () => {
  await redis.close()
  await embedded.close()
  await server.stop()
})

const inRedis: Take = (key, now, { per, slack }) => redis.run(operation, [key], [per, slack, now])
const inFiles: Take = (key, now, { per, slack }) => embedded.run(operation, [key], [per, slack, now])
let clock = 0
const buckets = new LocalBuckets(() => clock / ms)
const inProcess: Take = async (key, now, rate) => {
  clock = now
  return buckets.take(key, rate)
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
}

t.test('all three give the same answers to the same history', async (t) => {
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % below
  }
  for (let history = 0; history < 20; history += 1) {
    const rate = slowRate({ qps: [0.3, 7, 100, 3000][random(4)]!, slack: random(6) })
    const key = `same:${history}`
    let now = start
    for (let index = 0; index < 40; index += 1) {
      now += random(rate.per * 2) - (random(12) === 0 ? rate.per * 3 : 0)
      const answers = await Promise.all(places.map(([, takeAt]) => takeAt(key, now, rate)))
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

t.test('a bucket is kept for as long as it differs from one nobody has used', async (t) => {
  const rate = slowRate({ qps: 2, slack: 1 })
  const { time } = take(undefined, start, rate)
  const life = lifeOf(time, start, rate)
  t.same(take(time, start + life * ms, rate).verdict, take(undefined, start + life * ms, rate).verdict)
  t.notSame(take(time, at(100), rate).verdict, take(undefined, at(100), rate).verdict)
  await redis.run(
    takeWith({
      lua: "local clock = redis.call('TIME') local now = clock[1] * 1000000 + clock[2]",
      now: () => 0
    }),
    ['ttl'],
    [rate.per, rate.slack]
  )
  const left = Number(await redis.client.pttl('ttl'))
  t.ok(left > life - 200 && left <= life, `${left} of ${life} ms`)
})
