import type { Registry } from 'prom-client'
import { registerAsked } from './route-figures.ts'

/** What a log sink tells of itself when somebody asks. */
export interface SinkState {
  readonly name: string
  readonly state: string
  readonly queuedBytes: number
  readonly figures: {
    readonly sent: number
    readonly dropped: number
    readonly failed: number
    readonly sampled: number
  }
}

/** Counters and states of the sinks of the config that serves, asked for when somebody reads them. */
export function registerSinks(registry: Registry, sinks: () => readonly SinkState[]): void {
  const lines = {
    type: 'counter',
    name: 'tollkeeper_log_lines_total',
    help: 'Lines for log sinks, by sink and outcome (sent, dropped: for want of room or time, failed: refused for good, sampled: left out).'
  } as const
  registerAsked(registry, lines, () =>
    sinks().flatMap(({ name: sink, figures: { sent, dropped, failed, sampled } }) =>
      Object.entries({ sent, dropped, failed, sampled }).map(([outcome, value]) => ({
        labels: { sink, outcome },
        value
      }))
    )
  )
  const queue = {
    type: 'gauge',
    name: 'tollkeeper_log_queue_bytes',
    help: 'Bytes of lines that wait for a log sink, by sink.'
  } as const
  registerAsked(registry, queue, () =>
    sinks().map(({ name: sink, queuedBytes: value }) => ({ labels: { sink }, value }))
  )
  const up = {
    type: 'gauge',
    name: 'tollkeeper_log_sink_up',
    help: '0 while a log sink does not take its lines, by sink.',
    aggregator: 'min'
  } as const
  registerAsked(registry, up, () =>
    sinks().map(({ name: sink, state }) => ({ labels: { sink }, value: state === 'down' ? 0 : 1 }))
  )
}
