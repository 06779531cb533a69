import type { Registry } from 'prom-client'
import { registerAsked } from './route-figures.ts'

type BySource = Readonly<Record<string, number>>

/** What the limits tell of themselves when somebody asks. */
export interface LimitState {
  readonly isAway: boolean
  readonly gateways: number
  readonly figures: readonly {
    readonly id: string
    readonly allowed: BySource
    readonly refused: BySource
    readonly shadowed: number
    readonly waiting: number
  }[]
}

/** Counters and states of the limits, asked for when somebody reads them. */
export function registerLimits(registry: Registry, state: () => LimitState | undefined): void {
  const all = () => state()?.figures ?? []
  const gauge = (name: string, help: string, value: (state: LimitState) => number) =>
    registerAsked(
      registry,
      { type: 'gauge', name: `tollkeeper_limits_${name}`, help, aggregator: 'max' },
      () => {
        const now = state()
        return now === undefined ? [] : [{ labels: {}, value: value(now) }]
      }
    )
  gauge(
    'store_away',
    '1 while the store does not answer in time and limits are counted without it.',
    ({ isAway }) => (isAway ? 1 : 0)
  )
  gauge('gateways', 'Gateways that share the limits, as far as is known.', ({ gateways }) => gateways)
  const decisions = {
    type: 'counter',
    name: 'tollkeeper_limit_decisions_total',
    help: 'Requests that limits were asked about, by limit, who decided (store, lease, local; open, closed: the store was away) and verdict.'
  } as const
  registerAsked(registry, decisions, () =>
    all().flatMap(({ id: limit, allowed, refused }) => [
      ...values(limit, allowed, 'allowed'),
      ...values(limit, refused, 'refused')
    ])
  )
  const shadowed = {
    type: 'counter',
    name: 'tollkeeper_limit_shadow_refusals_total',
    help: 'Requests that a limit in the shadow would have refused, by limit.'
  } as const
  registerAsked(registry, shadowed, () =>
    all().flatMap(({ id: limit, shadowed: value }) => (value === 0 ? [] : [{ labels: { limit }, value }]))
  )
  const waiting = {
    type: 'gauge',
    name: 'tollkeeper_limit_waiting',
    help: 'Requests that limits hold back at this moment, by limit.'
  } as const
  registerAsked(registry, waiting, () =>
    all().flatMap(({ id: limit, waiting: value }) => (value === 0 ? [] : [{ labels: { limit }, value }]))
  )
}

const values = (limit: string, by: BySource, verdict: 'allowed' | 'refused') =>
  Object.entries(by).flatMap(([source, value]) =>
    value === 0 ? [] : [{ labels: { limit, by: source, verdict }, value }]
  )
