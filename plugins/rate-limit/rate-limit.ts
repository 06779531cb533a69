import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import type { Limit } from '../../services/limits/limit.ts'
import type { Limits } from '../../services/limits/limits.ts'
import { openLimits } from '../../services/limits/open.ts'
import {
  type LimitOptions,
  type RouteLimit,
  type RouteLimitOptions,
  routeLimitSchema
} from '../../services/limits/slice.ts'
import type { CanaryOptions } from '../../services/release/slice.ts'
import type { Services } from '../../services/services.ts'
import { definePlugin, type Note, type PlacedLimit, type RouteInfo, type Step } from '../plugin.ts'
import { keyBy, needsPrincipal } from '../request-key.ts'
import { holdingStep, releaseHolds } from './holding-step.ts'
import { countingStep, type ExplainedStep, inOrder, type Placed } from './step.ts'

type LimitedRoute = RouteInfo & {
  readonly limit?: RouteLimitOptions
  readonly serviceLimit?: LimitOptions
  readonly canary?: CanaryOptions
  /** That of the canary's service. */
  readonly canaryLimit?: LimitOptions
}

/** Counts by address, route or header: before anything is spent on finding out who asks. */
export const limitEarly = definePlugin({
  key: 'limit',
  route: Type.Object({ limit: Type.Optional(routeLimitSchema) }),

  async setup(app, _options, services) {
    app.decorateRequest('tightest', undefined)
    app.decorate('limits', [])
    releaseHolds(app)
    const limits = await openLimits(services, app.log)
    const place = placing(limits, app.limits, services)
    return (route: LimitedRoute) => routeStep(place, route, (limit) => !isLate(limit))
  }
})

/** Counts by subject or claim, once it is known that the request may pass. */
export const limitBySubject = definePlugin({
  key: 'limit-by-subject',

  async setup(app, _options, services) {
    const limits = await openLimits(services, app.log)
    const place = placing(limits, app.limits, services)
    return (route: LimitedRoute) => routeStep(place, route, isLate)
  }
})

/** Counts what goes to a service, whichever routes lead there. */
export const limitByService = definePlugin({
  key: 'limit-by-service',

  async setup(app, _options, services) {
    const limits = await openLimits(services, app.log)
    const place = placing(limits, app.limits, services)
    return (route: LimitedRoute) => {
      const stable = serviceStep(place, route, route.service, route.serviceLimit)
      const { canary } = route
      if (canary === undefined) return stable
      return bySide(stable, serviceStep(place, route, canary.service, route.canaryLimit))
    }
  }
})

/** Makes the step of one limit, and lists the limit. */
type Place = (id: string, options: LimitOptions, placed: Omit<Placed, 'limit'>) => ExplainedStep

function placing(limits: Limits, listed: PlacedLimit[], services: Services): Place {
  // A service has one limit, whichever routes lead there.
  const known = new Map<string, Limit>()
  return (id, options, placed) => {
    let limit = known.get(id)
    if (limit === undefined) {
      limit = limits.limit(id, options, services)
      known.set(id, limit)
      listed.push({ limit, name: placed.name, by: placed.by })
    }
    const step = options.concurrency === undefined ? countingStep : holdingStep
    return step(limits, { ...placed, limit })
  }
}

/** Who asks has to be known where it is what counts, or says which tier's numbers do. */
const isLate = ({ by, tiers }: RouteLimit): boolean =>
  tiers !== undefined || [by].flat().some((part) => needsPrincipal(part))

function routeStep(
  place: Place,
  { id, limit }: LimitedRoute,
  isHere: (limit: RouteLimit) => boolean
): Step | undefined {
  if (limit === undefined) return undefined
  const all: readonly RouteLimit[] = Array.isArray(limit) ? limit : [limit]
  const steps = all.filter(isHere).map((options) => {
    const own = `route:${id}${options.name === undefined ? '' : `:${options.name}`}`
    return place(own, options, {
      name: options.name ?? id,
      reason: 'route_limit',
      by: [options.by].flat().join(' + '),
      keyOf: keyBy(options.by)
    })
  })
  return inOrder(steps)
}

function serviceStep(
  place: Place,
  route: LimitedRoute,
  service: string,
  options: LimitOptions | undefined
): ExplainedStep | undefined {
  if (options === undefined) return undefined
  // A client that sees both limits has to be able to tell them apart.
  const name = route.limit !== undefined && route.id === service ? `service:${service}` : service
  return place(`service:${service}`, options, {
    name: options.name ?? name,
    reason: 'service_limit',
    by: 'service',
    keyOf: keyBy('route')
  })
}

/** Counts where the request goes: the two sides of a canary have the limits of their own services. */
function bySide(stable: ExplainedStep | undefined, canary: ExplainedStep | undefined): Step | undefined {
  if (stable === undefined && canary === undefined) return undefined
  const sideOf = ({ exchange }: FastifyRequest) => (exchange.detour?.side === 'canary' ? canary : stable)
  const count: Step = (request, reply) => sideOf(request)?.(request, reply)
  return Object.assign(count, {
    explain: (request: FastifyRequest, note: Note) => sideOf(request)?.explain(request, note)
  })
}
