import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { isProblem, type Problem } from '../../errors.ts'
import type { Steps } from '../../plugins/corridor.ts'
import { type Exchange, type RouteInfo, type Step, Untold } from '../../plugins/plugin.ts'
import type { Preview } from '../../services/upstream/pool.ts'
import { balanceKey } from '../proxy/balance-key.ts'
import type { Plans } from '../proxy/plan.ts'
import { planFor } from '../proxy/release.ts'
import { type Candidate, candidatesOf } from '../table/candidates.ts'
import type { Table } from '../table/compile.ts'

/** What one config does with requests. */
export interface Serving {
  /** Opens the exchange of a request, as the public listener does. */
  readonly open: (raw: IncomingMessage) => Exchange
  /** What looks at every request before its route's steps do, in its explaining form. */
  readonly first: readonly { readonly key: string; readonly explain: NonNullable<Step['explain']> }[]
  readonly steps: Steps
  readonly plans: Plans
  readonly table: Table
  /** Names of the headers that tell a service who asks; the values of no others are shown. */
  readonly identityHeaders: readonly string[]
}

export interface StepTaken {
  readonly step: string
  /** `not asked`: the step cannot tell without being taken. */
  readonly outcome: 'passes' | 'refuses' | 'cannot tell' | 'not asked'
  readonly facts: Readonly<Record<string, unknown>>
}

/** What the gateway would do with a request, and what that rests on. */
export interface Explanation {
  /** Null where a step cannot tell without being taken. */
  readonly allowed: boolean | null
  readonly status?: number
  readonly code?: string
  readonly reason?: string
  readonly detail?: string
  readonly path: string
  /** Set where the gateway answers itself. */
  readonly door?: string
  readonly route?: {
    readonly id: string
    readonly path: string
    readonly methods: readonly string[]
    readonly service: string
  }
  /** Routes that the request could have been meant for, and why each gets it or does not. */
  readonly candidates: readonly Candidate[]
  readonly steps: readonly StepTaken[]
  /** Who of the service's nodes would get it; only where the request is allowed. */
  readonly node?: Preview
  /** What the service would get; only where the request is allowed. */
  readonly upstream?: Readonly<Record<string, unknown>>
}

/**
 * Takes a request that nobody sent through the very steps of its route, each in its explaining form: nothing is counted, nothing is
 * used up, nobody was here.
 */
export async function explain(raw: IncomingMessage, serving: Serving): Promise<Explanation> {
  const exchange = serving.open(raw)
  const { path, route } = exchange
  const request = {
    raw,
    exchange,
    headers: raw.headers,
    method: raw.method,
    url: raw.url
  } as unknown as FastifyRequest
  const taken: StepTaken[] = []
  const problem =
    (await walk(request, serving.first, taken)) ??
    exchange.refusal ??
    (route && (await walk(request, stepsOf(route, serving), taken)))
  const shown = {
    path,
    ...(route && {
      route: { id: route.id, path: route.path, methods: route.methods, service: route.service }
    }),
    candidates: candidatesOf(raw, exchange, serving.table),
    steps: taken
  }
  if (problem instanceof Untold) return { allowed: null, detail: problem.message, ...shown }
  if (problem !== undefined) return { ...refusedWith(problem), ...shown }
  if (route === undefined) return { allowed: true, door: exchange.resource, ...shown }
  return {
    allowed: true,
    ...shown,
    ...nodeFor(request, route, serving),
    upstream: seenBy(raw, exchange, route, serving)
  }
}

interface NamedStep {
  readonly key: string
  readonly explain: Step['explain']
}

const stepsOf = (route: RouteInfo, { steps }: Serving): readonly NamedStep[] =>
  (steps.get(route) ?? []).map(({ key, take }) => ({ key, explain: take.explain }))

async function walk(
  request: FastifyRequest,
  steps: readonly NamedStep[],
  taken: StepTaken[]
): Promise<Problem | Untold | undefined> {
  for (const { key, explain } of steps) {
    const facts: Record<string, unknown> = {}
    if (explain === undefined) {
      taken.push({ step: key, outcome: 'not asked', facts })
      continue
    }
    try {
      const outcome = await explain(request, (more) => Object.assign(facts, more))
      taken.push({ step: key, outcome: outcome ?? 'passes', facts })
    } catch (error) {
      if (error instanceof Untold) {
        taken.push({ step: key, outcome: 'cannot tell', facts })
        return error
      }
      if (!isProblem(error)) throw error
      taken.push({ step: key, outcome: 'refuses', facts })
      return error
    }
  }
  return undefined
}

function nodeFor(request: FastifyRequest, route: RouteInfo, { plans }: Serving): { node?: Preview } {
  const planned = plans.get(route)
  if (planned === undefined) return {}
  const { pool } = planFor(planned, request.exchange)
  return { node: pool.preview((source) => balanceKey(source, request)) }
}

const refusedWith = (problem: Problem) => {
  const { statusCode: status, code, reason, message: detail } = problem
  return { allowed: false, status, code, detail, ...(reason !== undefined && { reason }) }
}

function seenBy(
  raw: IncomingMessage,
  exchange: Exchange,
  route: RouteInfo,
  { plans, identityHeaders }: Serving
) {
  const planned = plans.get(route)
  if (planned === undefined) return {}
  const { mirror } = planned
  const plan = planFor(planned, exchange)
  const written = plan.headers
    .write(raw, exchange, 'explained', plan.rules)
    .split('\r\n')
    .slice(0, -1)
    .map((line) => line.split(/: (.*)/s, 2) as [string, string])
  const names = written.map(([name]) => name)
  const has = (list: readonly string[], name: string) =>
    list.some((other) => other.toLowerCase() === name.toLowerCase())
  const sent = raw.rawHeaders.filter((_, index) => index % 2 === 0)
  const identity: Record<string, string> = {}
  for (const [name, value] of written) if (has(identityHeaders, name)) identity[name] = value
  return {
    service: exchange.detour?.service ?? route.service,
    ...(mirror?.takes(raw.method) && { mirror: { service: mirror.service, percent: mirror.percent } }),
    ...(plan.fallback && { fallback: plan.fallback.options.service ?? 'a fixed answer' }),
    path: plan.route.rewrite.forward(exchange.path) ?? null,
    identity,
    added: names.filter((name) => !has(sent, name) && !has(identityHeaders, name)),
    removed: sent.filter(
      (name) => (!has(names, name) || has(identityHeaders, name)) && name.toLowerCase() !== 'host'
    )
  }
}
