import t from 'tap'
import { accepted, due, mostWithin, percentile } from '../../support/load/sample.ts'
import { pause } from './drill.ts'
import { forbidden } from './faults.ts'
import { known, limit, startSite, turns } from './site.ts'

/** One limit, counted by several processes together, under four times the load for ten seconds. */
const loadMs = 10_000

for (const gateways of [2, 4]) {
  t.test(`${gateways} processes let through what the limit says, all together`, async (t) => {
    const site = await startSite(t, { gateways })
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
    t.comment(`store lost: ${turns(site, date).join(', ') || 'never'}`)
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
