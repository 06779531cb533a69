import t, { type Test } from 'tap'
import { accepted, due, mostWithin, percentile, type Sample } from '../../support/load/sample.ts'
import { pause } from './drill.ts'
import { forbidden } from './faults.ts'
import { known, limit, startSite, turns } from './site.ts'

/** One limit, counted by several processes together, under four times the load for ten seconds. */
const loadMs = 10_000

/** A machine that stands still for so long that gateways do without their store shows nothing about what they count in it. */
const attempts = 3

/** What was answered while all gateways had their store all the time; of the last attempt in any case. */
async function loaded(t: Test, gateways: number): Promise<readonly Sample[]> {
  const site = await startSite(t, { gateways })
  for (let attempt = 1; ; attempt += 1) {
    for (let look = 0; look < 100 && (await known(site)).some((count) => count !== gateways); look += 1)
      await pause(50)
    const date = Date.now()
    site.load.begin({
      origins: site.gateways.map(({ origin }) => origin),
      streams: [
        { path: '/local', rate: 4 * limit.qps },
        { path: '/leased', rate: 4 * limit.qps }
      ],
      forbidden
    })
    await pause(loadMs)
    const samples = await site.load.end()
    const lost = turns(site, date)
    const unsent = samples.filter(({ wasSent }) => !wasSent).length
    t.comment(`store lost: ${lost.join(', ') || 'never'}; ${unsent} requests not sent by a busy machine`)
    if ((lost.length === 0 && unsent === 0) || attempt === attempts) return samples
    await pause(2000)
  }
}

for (const gateways of [2, 4]) {
  t.test(`${gateways} processes let through what the limit says, all together`, async (t) => {
    const samples = await loaded(t, gateways)
    t.same(samples.filter(({ status }) => status !== 200 && status !== 429).slice(0, 3), [])
    for (const [stream, scope, least] of [
      [0, 'exact', 0.98],
      [1, 'leased', 0.9]
    ] as const) {
      const own = samples.filter((sample) => sample.stream === stream)
      const passed = accepted(own).length
      const seconds = (own.at(-1)!.sent - own[0]!.sent) / 1000
      const most = Math.floor(seconds * limit.qps) + limit.slack + 1
      const owed = due(own, limit.qps, limit.slack)
      t.comment(
        `${scope}: ${passed} of ${own.length} in ${seconds.toFixed(2)} s, ${owed} due; p50 ${percentile(own, 50).toFixed(1)} ms, p99 ${percentile(own, 99).toFixed(1)} ms`
      )
      t.ok(own.length > 3.5 * seconds * limit.qps, `${own.length} requests were enough to tell`)
      t.ok(passed <= most, `${scope}: ${passed} of ${most} at most`)
      t.ok(passed >= owed * least, `${scope}: ${passed} of ${owed} due`)
      const dense = mostWithin(own, 1000)
      t.ok(dense <= limit.qps + limit.slack + 1, `${scope}: ${dense} within one second`)
    }
  })
}
