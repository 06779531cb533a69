import t from 'tap'
import { drill, pause } from './drill.ts'
import { nobodyNotices, storeIsAway, storeIsBack } from './expectations.ts'
import { faults } from './faults.ts'
import { figure, known, startSite } from './site.ts'

/** What really happens to a Redis, to two gateways under four times the load that they let through. */
const site = await startSite(t, { gateways: 2 })

t.before(async () => {
  for (let look = 0; look < 100 && (await known(site)).some((count) => count !== 2); look += 1)
    await pause(50)
})

for (const fault of faults.filter(({ isOnTheWay }) => !isOnTheWay)) {
  t.test(
    `Redis is ${fault.name}: limits hold, nobody waits, and they are counted together again after it`,
    async (t) => {
      // A figure that is not there yet is none.
      const alone = async () =>
        (await figure(
          site.gateways[0]!,
          'tollkeeper_limit_decisions_total{limit="route:local",by="local"'
        )) || 0
      const before = await alone()
      const done = await drill(site, fault, { before: 1500, during: 3000, grace: 2000, after: 2500 })
      nobodyNotices(t, done.samples)
      storeIsAway(t, done)
      storeIsBack(t, done)
      t.same(await known(site), [2, 2], 'both know of each other')
      const decided = (await alone()) - before
      t.ok(decided > 0, `${decided} were decided by the first of them alone`)
      const after = await alone()
      await pause(300)
      t.equal(await alone(), after, 'and none any more')
    }
  )
}
