import type { Test } from 'tap'
import type { Sample, Span } from '../../support/load/sample.ts'
import { within } from '../../support/load/sample.ts'
import { type Drill, type Figures, figuresOf, inWords } from './drill.ts'

/** Milliseconds within which every request is answered, come what may. */
const soon = 1000
/** By how much a fault may make requests slower, in milliseconds: on a quiet machine some five, here whatever else it does. */
const slower = 100

/** What every fault has to leave as it is: nobody hangs, nobody reads of Redis, nobody is told anything but yes, or too many. */
export function nobodyNotices(t: Test, samples: readonly Sample[]): void {
  const [toLocal, toOpen, toClosed] = [0, 1, 2].map((stream) =>
    samples.filter((one) => one.stream === stream)
  )
  t.ok(toLocal!.length > 0 && toOpen!.length > 0 && toClosed!.length > 0, 'all were asked')
  t.same(samples.filter(({ took }) => took >= soon).slice(0, 3), [], `all are answered within ${soon} ms`)
  t.same(
    samples.filter(({ leak }) => leak !== undefined).slice(0, 3),
    [],
    "nobody reads of the store's troubles"
  )
  const others = (of: readonly Sample[], statuses: readonly number[]) =>
    of.filter(({ status }) => !statuses.includes(status)).slice(0, 3)
  t.same(others(toLocal!, [200, 429]), [], 'who is counted here is told yes, or too many')
  t.same(others(toOpen!, [200, 429]), [], 'so is who passes uncounted')
  t.same(others(toClosed!, [200, 429, 503]), [], 'who is refused in doubt is told that, too')
  const refused = samples.filter(({ status }) => status === 503 || status === 429)
  t.same(
    refused.filter(({ retryAfter }) => !/^[1-9]\d*$/.test(retryAfter ?? '')).slice(0, 3),
    [],
    'and when to come again'
  )
}

/** Each limit does what its config says, as long as the store is away. */
export function storeIsAway(t: Test, { samples, during }: Pick<Drill, 'samples' | 'during'>): void {
  const seconds = (during.to - during.from) / 1000
  const local = figuresOf(samples, during, 0)
  t.ok(
    Math.abs(local.accepted - 100 * seconds) <= 20 * seconds + 11,
    `${local.accepted} in ${seconds} s at 100/s`
  )
  // Until it is noticed some are counted as ever, or wait for the store.
  const noticed: Span = { from: during.from + Math.min(500, seconds * 250), to: during.to }
  const open = within(samples, noticed).filter(({ stream }) => stream === 1)
  const closed = within(samples, noticed).filter(({ stream }) => stream === 2)
  const share = (of: readonly Sample[], status: number) =>
    of.filter((one) => one.status === status).length / of.length
  t.ok(share(open, 200) > 0.95, `${percent(share(open, 200))} pass a limit that is open`)
  t.ok(share(closed, 503) > 0.95, `${percent(share(closed, 503))} are refused by one that is closed`)
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

/** All gateways count together again, within two seconds. */
export function storeIsBack(t: Test, drill: Drill): void {
  const { samples, before, during, after, aloneAfter, healedAfter, turns } = drill
  t.ok(healedAfter <= 2000, `back after ${Math.round(healedAfter)} ms`)
  const figures = [before, during, after].map((span) => figuresOf(samples, span, 0)) as [
    Figures,
    Figures,
    Figures
  ]
  const [calm, faulty, again] = figures
  t.comment(inWords('before', calm))
  t.comment(inWords('during', faulty))
  t.comment(inWords('after', again))
  t.comment(turns.join(', '))
  for (const [phase, { accepted, due }, alone] of [
    ['before', calm, 0],
    ['after', again, aloneAfter]
  ] as const) {
    // A span begins with a bucket that may be full or empty, where `due` takes it to be full.
    const least = due * (alone === 0 ? 0.95 : 0.8) - 11
    const isExact = accepted - alone <= due * 1.02 + 1 && accepted >= least
    t.ok(isExact, `${accepted} of ${due} ${phase}, ${alone} of them counted by one gateway alone`)
  }
  t.ok(
    faulty.p99 <= calm.p99 + slower,
    `p99 ${calm.p99.toFixed(1)} ms before, ${faulty.p99.toFixed(1)} ms during`
  )
}
