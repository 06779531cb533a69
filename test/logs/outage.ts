import type { Test } from 'tap'
import { ask } from '../support/client.ts'
import { kafkaSink, startLastingKafka } from '../support/kafka.ts'
import type { Teardown } from '../support/load/listen.ts'
import { startLoad } from '../support/load/load.ts'
import { clock, percentile, type Sample, type Span, within } from '../support/load/sample.ts'
import { eventually, growthDuring, type OwnProcess, startOwnProcess } from '../support/own-process.ts'
import { adminToken, loggingConfig, type ShownSink } from '../support/sinks.ts'

/** `killed` refuses connections; `stopped` (SIGSTOP) keeps them and says nothing. */
export type Fault = 'killed' | 'stopped'

export interface OutageTerms {
  /** Requests a second. */
  readonly rate: number
  /** Milliseconds of each span; the one before begins when the gateway is warm. */
  readonly before: number
  readonly during: number
  readonly after: number
  /** The longest time that is given to the sink to have its broker again, and to the queue to empty. */
  readonly patience: number
  /** Settings of the sink besides those of `kafkaSink`. */
  readonly sink?: object
}

/** What a gateway under a steady load made of a broker that went and came back. */
export interface OutageFigures {
  readonly before: Phase
  readonly during: Phase
  readonly after: Phase
  /** Requests altogether, those that made the gateway warm included. */
  readonly total: number
  /** Of them, those that were not answered with 200. */
  readonly failed: number
  /** What the machine could not even send, besides. */
  readonly unsent: number
  /** The most memory during the outage, above what there was before: MiB. */
  readonly growth: number
  /** Milliseconds from the broker's return to the first batch that it took. */
  readonly resumedAfter: number
  readonly wentDown: boolean
  /** When the queue was empty again. */
  readonly sink: ShownSink
  /** Different lines that brokers had: more than were sent where the gateway did not hear of it. */
  readonly arrived: number
}

export interface Phase {
  /** Answers a second. */
  readonly rate: number
  /** Milliseconds. */
  readonly median: number
  readonly p99: number
  /** The p99 of each second, and of these the median: a machine that stands still for a moment does not change it. */
  readonly p99InMost: number
  readonly longest: number
  /** MiB at its end. */
  readonly memory: number
  /** Microseconds of the gateway's CPU for a request, the work of its sink included. */
  readonly cpu: number
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export async function outage(t: Teardown, fault: Fault, terms: OutageTerms): Promise<OutageFigures> {
  const kafka = await startLastingKafka(t)
  const load = await startLoad(t)
  const config = loggingConfig(load.upstream, [kafkaSink([kafka.address], terms.sink)], { access: false })
  const gateway = await startOwnProcess(t as Test, config)
  const shown = async (): Promise<ShownSink> => {
    const { body } = await ask('GET', `${gateway.admin}/admin/logs/sinks`, { token: adminToken })
    return (body.sinks as unknown as ShownSink[])[0]!
  }
  const arrived = new Set<string>()
  const follow = (): void =>
    kafka.broker().follow('access', (line) => {
      arrived.add((JSON.parse(line) as { requestId: string }).requestId)
    })
  follow()

  const begin = (rate: number): void =>
    load.begin({ origins: [gateway.origin], streams: [{ path: '/open/x', rate }], forbidden: [] })
  // The compiler's work and the heap's first growth are over when it counts.
  begin(terms.rate / 4)
  await pause(terms.before / 2)
  const warming = await load.end()
  begin(terms.rate)
  await pause(terms.before / 2)
  const before = await span(gateway, terms.before)

  let during: Measured | undefined
  const away = async (): Promise<void> => {
    if (fault === 'killed') await kafka.kill()
    else kafka.broker().pause()
    during = await span(gateway, terms.during)
  }
  const growth = await growthDuring(gateway, before.memory, away())
  const then = await shown()
  if (fault === 'killed') {
    await kafka.start()
    follow()
  } else kafka.broker().resume()
  const back = clock()
  await eventually('a batch is taken', async () => (await shown()).sent > then.sent, terms.patience)
  const resumedAfter = clock() - back
  const after = await span(gateway, terms.after)
  const all = [...warming, ...(await load.end())]
  const samples = all.filter(({ wasSent }) => wasSent)
  await eventually('the queue is empty', async () => (await shown()).queued === 0, terms.patience)
  const sink = await shown()
  await eventually('the reader has it', async () => isQuiet(arrived, sink.sent), terms.patience)
  return {
    before: phaseOf(samples, before),
    during: phaseOf(samples, during!),
    after: phaseOf(samples, after),
    total: samples.length,
    unsent: all.length - samples.length,
    failed: samples.filter(({ status }) => status !== 200).length,
    growth,
    resumedAfter,
    wentDown: then.state === 'down',
    sink,
    arrived: arrived.size
  }
}

/** All is there, or nothing more has come for longer than a busy machine stands still. */
async function isQuiet(lines: ReadonlySet<string>, sent: number): Promise<boolean> {
  const { size } = lines
  for (let looks = 0; looks < 30 && lines.size < sent && lines.size === size; looks += 1) await pause(100)
  return lines.size >= sent || lines.size === size
}

interface Measured extends Span {
  readonly memory: number
  /** Milliseconds of CPU. */
  readonly cpu: number
}

async function span(gateway: OwnProcess, ms: number): Promise<Measured> {
  const began = await cpuOf(gateway)
  const from = clock()
  await pause(ms)
  const to = clock()
  return { from, to, memory: await gateway.memory(), cpu: (await cpuOf(gateway)) - began }
}

const cpuOf = async ({ admin }: OwnProcess): Promise<number> => {
  const text = await (await fetch(`${admin}/metrics`)).text()
  return Number(/^tollkeeper_process_cpu_seconds_total (\S+)/m.exec(text)?.[1]) * 1000
}

function phaseOf(samples: readonly Sample[], at: Measured): Phase {
  const some = within(samples, at)
  const seconds = Array.from({ length: Math.floor((at.to - at.from) / 1000) }, (_, index) =>
    percentile(within(some, { from: at.from + index * 1000, to: at.from + (index + 1) * 1000 }), 99)
  )
  return {
    memory: at.memory,
    cpu: (at.cpu * 1000) / some.length,
    rate: (some.length / (at.to - at.from)) * 1000,
    median: percentile(some, 50),
    p99: percentile(some, 99),
    p99InMost: seconds.sort((a, b) => a - b)[Math.floor(seconds.length / 2)] ?? Number.NaN,
    longest: percentile(some, 100)
  }
}
