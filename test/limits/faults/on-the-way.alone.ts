import t from 'tap'
import { clock, type Span, within } from '../../support/load/sample.ts'
import { drill, healed, pause, streams } from './drill.ts'
import { nobodyNotices, storeIsAway, storeIsBack } from './expectations.ts'
import { type Fault, faults, forbidden } from './faults.ts'
import { known, startSite } from './site.ts'

/** What happens on the way to a Redis that is well, and what else may answer there. */
const site = await startSite(t, { gateways: 2, isOnTheWay: true })

t.before(async () => {
  for (let look = 0; look < 100 && (await known(site)).some((count) => count !== 2); look += 1)
    await pause(50)
})

const onTheWay = faults.filter(({ isOnTheWay }) => isOnTheWay)
const isAnswer = ({ name }: Fault): boolean => name.startsWith('answers')

for (const fault of onTheWay.filter((one) => !isAnswer(one))) {
  t.test(
    `the way to Redis is ${fault.name}: limits hold, nobody waits, and all is well after it`,
    async (t) => {
      const done = await drill(site, fault, { before: 1000, during: 2500, grace: 2000, after: 2000 })
      nobodyNotices(t, done.samples)
      storeIsAway(t, done)
      storeIsBack(t, done)
    }
  )
}

t.test('whatever answers in place of Redis is not believed', async (t) => {
  site.load.begin({ origins: site.gateways.map(({ origin }) => origin), streams, forbidden })
  const tried: (readonly [string, Span, number])[] = []
  for (const fault of onTheWay.filter(isAnswer)) {
    await pause(200)
    const from = clock()
    await fault.begin(site)
    await pause(1000)
    const to = clock()
    await fault.end(site)
    tried.push([fault.name, { from, to }, await healed(site, to)])
  }
  const samples = await site.load.end()
  for (const [name, during, healedAfter] of tried) {
    await t.test(`it ${name}`, async (t) => {
      nobodyNotices(t, within(samples, during))
      storeIsAway(t, { samples, during })
      t.ok(healedAfter <= 2000, `back after ${Math.round(healedAfter)} ms`)
    })
  }
  t.same(await known(site), [2, 2], 'nor do they believe in other gateways than there are')
})
