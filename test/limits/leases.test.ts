import t from 'tap'
import { grant, rateOf } from '../../services/limits/bucket.ts'
import { Leases, leasedRate } from '../../services/limits/leases.ts'
import type { Told } from '../../services/limits/turn.ts'

/** Milliseconds. */
interface Site {
  readonly gateways: number
  readonly qps: number
  readonly slack: number
  /** Requests a second, over all gateways. */
  readonly offered: number
  /** Until the store has answered. */
  readonly wayToStore: number
}

const seconds = 10

/** Moments at which gateways with clocks of their own let requests through, of one bucket, in a time that is simulated. */
async function passed(site: Site, random: () => number): Promise<number[]> {
  const rate = leasedRate(rateOf(site))
  let now = 0
  let bucket: number | undefined
  const mail: { readonly at: number; run(): void }[] = []
  const gateways = Array.from({ length: site.gateways }, () => {
    const offset = random() * 1e9
    return new Leases(
      (_key, numbers, wanted) =>
        new Promise<Told>((resolve) => {
          const sent = now
          const there = now + random() * site.wayToStore
          mail.push({
            at: there,
            run() {
              const { time, ...answer } = grant(bucket, there * 1000 + 1e12, numbers, wanted)
              if (answer.count > 0) bucket = time
              mail.push({ at: Math.max(there, sent + site.wayToStore), run: () => resolve(answer) })
            }
          })
        }),
      () => now + offset,
      (run) => mail.push({ at: now + 5, run })
    )
  })
  const moments: number[] = []
  let turn = 0
  for (let tick = 0; tick < seconds * 1000; tick += 0.5) {
    now = tick
    for (let due = mail.findIndex(({ at }) => at <= now); due >= 0; ) {
      mail.splice(due, 1)[0]!.run()
      due = mail.findIndex(({ at }) => at <= now)
    }
    await settled()
    const requests = Math.floor((site.offered / 2000) * (0.5 + random()))
    for (let request = 0; request < requests || random() < (site.offered / 2000) % 1; request += 1) {
      turn += 1
      const said = gateways[turn % gateways.length]!.take('key', rate)
      const at = now
      if (!(said instanceof Promise)) {
        if (said.allowed) moments.push(at)
      } else void said.then((later) => later?.allowed && moments.push(now))
    }
    await settled()
  }
  return moments.sort((a, b) => a - b)
}

/** All that promises had to do is done. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Numbers from 0 to 1 that are the same in every run. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

for (const [seed, site] of [
  { gateways: 1, qps: 100, slack: 10, offered: 400, wayToStore: 1 },
  { gateways: 2, qps: 100, slack: 10, offered: 400, wayToStore: 1 },
  { gateways: 4, qps: 100, slack: 0, offered: 400, wayToStore: 5 },
  { gateways: 4, qps: 1000, slack: 100, offered: 4000, wayToStore: 3 },
  { gateways: 3, qps: 20, slack: 40, offered: 80, wayToStore: 15 },
  { gateways: 8, qps: 5, slack: 0, offered: 100, wayToStore: 2 },
  { gateways: 4, qps: 100, slack: 500, offered: 400, wayToStore: 5 },
  { gateways: 3, qps: 10, slack: 40, offered: 40, wayToStore: 5 }
].entries()) {
  const { gateways, qps, slack, offered } = site
  t.test(`${gateways} gateways, ${offered} for ${qps} a second and ${slack} more`, async (t) => {
    const moments = await passed(site, randomFrom(seed + 1))
    // In no span of time is it more than the bucket would let through of it: its slack, and what falls due.
    for (const span of [10, 100, 1000, seconds * 1000]) {
      const most = slack + 1 + Math.floor((span * qps) / 1000)
      let dense = 0
      for (let first = 0, last = 0; last < moments.length; last += 1) {
        while (moments[last]! - moments[first]! > span) first += 1
        dense = Math.max(dense, last - first + 1)
      }
      t.ok(dense <= most, `${dense} within ${span} ms, ${most} at most`)
    }
    // Without slack a unit is lost when no request is there at its very moment.
    const least = qps * seconds * (slack > 0 ? 0.95 : 0.8)
    t.ok(moments.length > least, `${moments.length} of ${qps * seconds} were made use of`)
  })
}

t.test('a store that does not tell leaves it to others, and is asked again', async (t) => {
  let now = 0
  const answers: Told[] = [undefined, { count: 1, remaining: 4, due: -1000, resetMs: 60 }]
  const asked: number[] = []
  const leases = new Leases(
    async (_key, _rate, wanted) => {
      asked.push(wanted)
      return answers.shift()
    },
    () => now
  )
  const rate = leasedRate(rateOf({ qps: 100, slack: 10 }))
  t.equal(await leases.take('key', rate), undefined)
  now += 1
  t.match(await leases.take('key', rate), { allowed: true, remaining: 4 })
  t.equal(asked.length, 2)
})

for (const way of [0, 30]) {
  t.test(
    `units that nobody used are lost when a bucket would have lost them, ${way} ms from the store`,
    async (t) => {
      let now = 0
      const answers: Told[] = [
        { count: 2, remaining: 0, due: 0, resetMs: 60 },
        { count: 0, remaining: 0, due: 1_000_000, resetMs: 60 }
      ]
      const leases = new Leases(
        async () => {
          now += way
          return answers.shift()
        },
        () => now
      )
      const rate = leasedRate(rateOf({ qps: 100, slack: 10 }))
      t.match(await leases.take('key', rate), { allowed: true })
      // The second one was due 10 ms after the first, and the bucket holds 110 ms; how long the answer took may be too late.
      now = 121 + Number(way === 0)
      t.match(await leases.take('key', rate), { allowed: false })
    }
  )
}

t.test('a client far below a limit with a large burst asks once for many requests', async (t) => {
  let now = 0
  let bucket: number | undefined
  let asks = 0
  const rate = leasedRate(rateOf({ qps: 100, slack: 1000 }))
  const leases = new Leases(
    async (_key, numbers, wanted) => {
      asks += 1
      const { time, ...answer } = grant(bucket, now * 1000 + 1e12, numbers, wanted)
      if (answer.count > 0) bucket = time
      return answer
    },
    () => now
  )
  for (let request = 0; request < 200; request += 1) {
    now += 50
    t.match(await leases.take('key', rate), { allowed: true })
    await settled()
  }
  t.ok(asks < 40, `${asks} questions for 200 requests at 20 a second`)
})

t.test('what runs low is asked for together, a little later; who waits is not kept waiting', async (t) => {
  const asked: string[] = []
  const due: (() => void)[] = []
  const rate = leasedRate(rateOf({ qps: 100, slack: 1000 }))
  const leases = new Leases(
    async (key, _rate, wanted) => {
      asked.push(`${key} ${wanted}`)
      return { count: 4, remaining: 900, due: -1e6, resetMs: 10 }
    },
    () => 1000,
    (act) => due.push(act)
  )
  const keys = ['a', 'b', 'c']
  for (const key of keys) t.match(await leases.take(key, rate), { allowed: true })
  t.same(asked, ['a 1', 'b 1', 'c 1'])
  asked.splice(0)
  for (let times = 0; times < 2; times += 1) {
    for (const key of keys) t.match(leases.take(key, rate), { allowed: true }, 'from stock')
  }
  await settled()
  t.same(asked, [])
  t.equal(due.length, 1)
  // Of "a" two more are wanted than are there: the second of them waits, and asks by itself.
  t.match(leases.take('a', rate), { allowed: true })
  t.match(await leases.take('a', rate), { allowed: true })
  t.same(asked, ['a 5'])
  asked.splice(0)
  for (const act of due.splice(0)) act()
  await settled()
  t.same(asked, ['b 2', 'c 2'], 'of "a" there is enough')
})
