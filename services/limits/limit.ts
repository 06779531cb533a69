import { toMilliseconds } from '../../config/units.ts'
import { type Rate, rateOf, shareOfRate } from './bucket.ts'
import { type LeasedRate, leasedRate } from './leases.ts'
import { defaultSlack, defaultWindow, type LimitOptions, type Numbers as NumberOptions } from './slice.ts'
import { type Quota, shareOfQuota } from './window.ts'

/** What a limit counts against: of the limit itself, of one of its tiers, or as it was changed while running. */
export interface Numbers {
  readonly options: NumberOptions
  /** Undefined for a limit of requests under way. */
  readonly counted: Rate | Quota | undefined
  /** The same as leases count it. */
  readonly leased: LeasedRate | undefined
  /** What this gateway lets through alone while the store is away. */
  share(gateways: number): Rate | Quota
}

/** Which ways a decision is made: by the store, out of a lease, by this process, or by none because the store is away. */
export const sources = ['store', 'lease', 'local', 'open', 'closed'] as const
export type Source = (typeof sources)[number]

/** How often each way was taken, since the process began. */
export interface LimitFigures {
  readonly id: string
  readonly allowed: Record<Source, number>
  readonly refused: Record<Source, number>
  /** Refusals of a limit in the shadow, which refuses nobody. */
  shadowed: number
  /** Requests that are held back at this moment. */
  waiting: number
}

export const newFigures = (id: string): LimitFigures => ({
  id,
  allowed: { store: 0, lease: 0, local: 0, open: 0, closed: 0 },
  refused: { store: 0, lease: 0, local: 0, open: 0, closed: 0 },
  shadowed: 0,
  waiting: 0
})

/** Where changes made while running are kept: by the limit's id, and a number that grows with each. */
export interface Changes {
  readonly version: number
  of(id: string): NumberOptions | undefined
}

/** One limit of a config: its numbers, its tiers, and what becomes of requests that are too many. */
export class Limit {
  /** `route:orders`, `service:orders`; the same before and after a reload. */
  readonly id: string
  readonly options: LimitOptions
  readonly figures: LimitFigures
  readonly #changes: Changes
  #version = -1
  #base: Numbers
  readonly #tiers: ReadonlyMap<string, Numbers>

  constructor(id: string, options: LimitOptions, figures: LimitFigures, changes: Changes) {
    this.id = id
    this.options = options
    this.figures = figures
    this.#changes = changes
    this.#base = numbersOf(options, options)
    const tiers = Object.entries(options.tiers?.of ?? {})
    this.#tiers = new Map(tiers.map(([name, numbers]) => [name, numbersOf(numbers, options)]))
  }

  /** What counts for whoever is of this tier; who is of none that the limit knows has the limit's own numbers. */
  numbers(tier?: string): Numbers {
    const own = tier === undefined ? undefined : this.#tiers.get(tier)
    if (own !== undefined) return own
    if (this.#version !== this.#changes.version) this.#refresh()
    return this.#base
  }

  #refresh(): void {
    this.#version = this.#changes.version
    const changed = this.#changes.of(this.id)
    this.#base = numbersOf(
      changed === undefined ? this.options : { ...this.options, ...changed },
      this.options
    )
  }
}

function numbersOf(numbers: NumberOptions, limit: LimitOptions): Numbers {
  const counted = countedOf({ ...onlyNumbers(limit), ...onlyNumbers(numbers) }, limit)
  let shared = counted
  let among = 1
  return {
    options: onlyNumbers(numbers),
    counted,
    leased: counted?.kind === 'rate' && limit.scope === 'leased' ? leasedRate(counted) : undefined,
    share(gateways) {
      if (gateways !== among && counted !== undefined) {
        shared = counted.kind === 'rate' ? shareOfRate(counted, gateways) : shareOfQuota(counted, gateways)
        among = gateways
      }
      return shared!
    }
  }
}

/** Longest debt of a bucket after an answer that cost more than there was, in microseconds. */
const debt = 60_000_000

function countedOf(
  { qps, slack = defaultSlack, quota, window }: NumberOptions,
  { cost, costHeader, mode, maxWait }: LimitOptions
): Rate | Quota | undefined {
  if (qps !== undefined) {
    const patience = mode === 'wait' ? toMilliseconds(maxWait) * 1000 : 0
    return rateOf({ qps, slack, cost, patience, debt: costHeader === undefined ? 0 : debt })
  }
  if (quota === undefined) return undefined
  return { kind: 'quota', units: quota, window: toMilliseconds(window ?? defaultWindow) * 1000, step: cost }
}

const onlyNumbers = ({ qps, slack, quota, window, concurrency }: NumberOptions): NumberOptions => ({
  ...(qps !== undefined && { qps }),
  ...(qps !== undefined && { slack: slack ?? defaultSlack }),
  ...(quota !== undefined && { quota }),
  ...(window !== undefined && { window }),
  ...(concurrency !== undefined && { concurrency })
})
