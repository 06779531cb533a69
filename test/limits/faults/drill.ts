import {
  accepted,
  clock,
  due,
  percentile,
  type Sample,
  type Span,
  type Stream,
  within
} from '../../support/load/sample.ts'
import { type Fault, forbidden } from './faults.ts'
import { away, decidedAlone, limit, type Site, turns } from './site.ts'

/** What goes to a site while a fault is tried; requests four times as many as are let through to the first. */
export const streams: readonly Stream[] = [
  { path: '/local', rate: 400 },
  { path: '/open', rate: 200 },
  { path: '/closed', rate: 40 }
]

/** All in milliseconds. */
export interface Lengths {
  readonly before: number
  readonly during: number
  /** Between the end of the fault and what is counted after it. */
  readonly grace: number
  readonly after: number
}

/** What happened to a site's requests before, during and after a fault. */
export interface Drill {
  readonly samples: readonly Sample[]
  readonly before: Span
  readonly during: Span
  readonly after: Span
  /** Requests to the first stream that gateways decided alone after the fault: on a busy machine Redis is late now and then. */
  readonly aloneAfter: number
  /** Milliseconds until all gateways took the store to be back; Infinity: they did not. */
  readonly healedAfter: number
  /** When gateways took the store to be away, or back, from the beginning of the fault. */
  readonly turns: readonly string[]
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const patience = 5000

/** Has a fault come and go under a steady load. */
export async function drill(site: Site, fault: Fault, lengths: Lengths): Promise<Drill> {
  site.load.begin({ origins: site.gateways.map(({ origin }) => origin), streams, forbidden })
  // A load's first requests open its connections, and have a gateway compile what serves them.
  await pause(500)
  await healed(site, clock())
  const before = await spanOf(lengths.before)
  const begun = clock()
  const date = Date.now()
  await fault.begin(site)
  await pause(lengths.during)
  const during = { from: begun, to: clock() }
  await fault.end(site)
  const healing = clock()
  const healedAfter = await healed(site, healing)
  await pause(Math.max(0, lengths.grace - (clock() - healing)))
  const aloneThen = await decidedAlone(site)
  const after = await spanOf(lengths.after)
  const aloneAfter = (await decidedAlone(site)) - aloneThen
  const samples = await site.load.end()
  return { samples, before, during, after, aloneAfter, healedAfter, turns: turns(site, date) }
}

async function spanOf(ms: number): Promise<Span> {
  const from = clock()
  await pause(ms)
  return { from, to: clock() }
}

/** Waits until no gateway takes the store to be away. */
export async function healed(site: Site, since: number): Promise<number> {
  while (clock() - since < patience) {
    if ((await away(site)) === 0) return clock() - since
    await pause(25)
  }
  return Number.POSITIVE_INFINITY
}

/** One phase of a drill in figures, of the stream to one path. */
export interface Figures {
  readonly sent: number
  readonly accepted: number
  /** What the limit would let through, all together. */
  readonly due: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly longest: number
  /** How many answers had which status. */
  readonly statuses: Readonly<Record<number, number>>
}

export function figuresOf(samples: readonly Sample[], span: Span, stream: number): Figures {
  const own = within(samples, span).filter((sample) => sample.stream === stream)
  const statuses: Record<number, number> = {}
  for (const { status } of own) statuses[status] = (statuses[status] ?? 0) + 1
  const count = accepted(own).length
  return {
    sent: own.length,
    accepted: count,
    due: due(own, limit.qps, limit.slack),
    perSecond: (count * 1000) / (span.to - span.from),
    p50: percentile(own, 50),
    p99: percentile(own, 99),
    longest: percentile(own, 100),
    statuses
  }
}

export const inWords = (phase: string, { accepted, due, perSecond, p50, p99, longest }: Figures): string =>
  `${phase}: ${accepted} accepted of ${due} due (${perSecond.toFixed(0)}/s), p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, longest ${longest.toFixed(0)} ms`
