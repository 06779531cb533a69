import { Value } from '@sinclair/typebox/value'
import type { Check, Report } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { toMilliseconds } from '../../config/units.ts'
import {
  defaultSlack,
  type LimitOptions,
  type Numbers,
  numbersSchema,
  type RouteLimitOptions
} from './slice.ts'

interface Limited {
  readonly routes: readonly { readonly id: string; readonly limit?: RouteLimitOptions }[]
  readonly services: Readonly<Record<string, { readonly limit?: LimitOptions }>>
}

/** A limit has one kind of numbers, each with what belongs to it and nothing else. */
export const limitOptions: Check = ({ routes, services }: Limited, report) => {
  for (const [index, { limit }] of routes.entries()) {
    if (limit === undefined) continue
    if (!Array.isArray(limit)) oneLimit(limit as LimitOptions, pointerOf('routes', index, 'limit'), report)
    else
      oneOfMany(
        limit as readonly LimitOptions[],
        (...keys) => pointerOf('routes', index, 'limit', ...keys),
        report
      )
  }
  for (const [name, { limit }] of Object.entries(services)) {
    if (limit !== undefined) oneLimit(limit, pointerOf('services', name, 'limit'), report)
  }
}

function oneOfMany(
  limits: readonly LimitOptions[],
  at: (...keys: (string | number)[]) => string,
  report: Report
): void {
  const taken = new Map<string, number>()
  for (const [place, limit] of limits.entries()) {
    oneLimit(limit, at(place), report)
    const name = limit.name ?? ''
    const first = taken.get(name)
    if (first === undefined) taken.set(name, place)
    else if (name === '')
      report.error(at(place), `limit[${first}] has no "name" either; give each further limit one`)
    else report.error(at(place, 'name'), `the name "${name}" is taken by limit[${first}]`)
  }
}

function oneLimit(limit: LimitOptions, pointer: string, report: Report): void {
  const error = (sentence: string, ...keys: string[]) =>
    report.error(pointer + keys.map((key) => pointerOf(key)).join(''), sentence)
  const kind = kindOf(limit)
  if (kind === undefined) {
    error('a limit has one of "qps", "quota" and "concurrency"')
    return
  }
  numbers(limit, kind, limit.cost, error)
  for (const [name, tier] of Object.entries(limit.tiers?.of ?? {})) {
    const inTier = (sentence: string, ...keys: string[]) => error(sentence, 'tiers', 'of', name, ...keys)
    if (kindOf(tier) !== kind) inTier(`the tier "${name}" has to say "${kind}", as its limit does`)
    else numbers(tier, kind, limit.cost, inTier)
  }
  if (limit.scope === 'leased' && kind !== 'qps') error('only a limit of "qps" can be leased', 'scope')
  if (limit.mode === 'wait' && kind !== 'qps') error('only requests to a limit of "qps" can wait', 'mode')
  if (limit.mode === 'wait' && limit.scope === 'leased') {
    error('requests cannot wait for a leased limit; take the scope "exact"', 'mode')
  }
  if (kind !== 'concurrency') return
  if (limit.cost !== 1) error('a request under way is one, whatever it costs', 'cost')
  if (limit.costHeader !== undefined) error('a request under way is one, whatever it costs', 'costHeader')
}

/** What is wrong with numbers that a limit gets while it runs, in a sentence without its stop. */
export function numbersMistake(next: Numbers, { cost, ...limit }: LimitOptions): string | undefined {
  const kind = kindOf(limit)!
  const [first] = [...Value.Errors(numbersSchema, next)]
  if (first !== undefined) return `${first.path.slice(1) || 'the numbers'}: ${first.message.toLowerCase()}`
  if (kindOf(next) !== kind) return `the limit is one of "${kind}", so its new numbers have to say it`
  const mistakes: string[] = []
  numbers(next, kind, cost, (sentence) => mistakes.push(sentence))
  return mistakes[0]
}

type Kind = 'qps' | 'quota' | 'concurrency'

function kindOf(limit: Numbers): Kind | undefined {
  const kinds = (['qps', 'quota', 'concurrency'] as const).filter((kind) => limit[kind] !== undefined)
  return kinds.length === 1 ? kinds[0] : undefined
}

function numbers(
  { slack, quota, window }: Numbers,
  kind: Kind,
  cost: number,
  error: (sentence: string, ...keys: string[]) => void
): void {
  if (slack !== undefined && kind !== 'qps') error('"slack" belongs to "qps"', 'slack')
  if (window !== undefined && kind !== 'quota') error('"window" belongs to "quota"', 'window')
  const ms = window === undefined ? undefined : toMilliseconds(window)
  if (ms !== undefined && (ms < 1000 || ms > 31 * 86_400_000))
    error('a window is from 1s to 31 days long', 'window')
  const atOnce = kind === 'qps' ? (slack ?? defaultSlack) + 1 : (quota ?? Number.POSITIVE_INFINITY)
  if (cost > atOnce) error(`a request costs ${cost} and no more than ${atOnce} are ever let through at once`)
}
