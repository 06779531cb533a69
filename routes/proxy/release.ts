import type { FastifyReply, FastifyRequest } from 'fastify'
import { metricsOf } from '../../plugins/metrics.ts'
import type { Exchange } from '../../plugins/plugin.ts'
import type { FallbackOptions, RouteRelease } from '../../services/release/slice.ts'
import type { Services } from '../../services/services.ts'
import type { Metrics } from '../../services/telemetry/metrics.ts'
import type { AnswerSink, Sent } from '../../services/transport/transport.ts'
import type { PoolRequest } from '../../services/upstream/pool.ts'
import type { CompiledRoute } from '../table/route.ts'
import { Fallback } from './fallback.ts'
import { Mirror, mirrorHeader } from './mirror.ts'
import type { Plan } from './plan.ts'

/** The plan of a route, and the one for requests on the canary's side. */
export interface RoutePlan extends Plan {
  readonly canary: Plan | undefined
}

/** What the config says of other services than a route's own. */
export interface Releases {
  readonly of: (route: CompiledRoute) => RouteRelease
  /** Who answers in place of a service. */
  readonly fallbackOf: (service: string) => FallbackOptions | undefined
  readonly metrics: Pick<Metrics, 'mirrors' | 'fallbacks'>
}

/** Reads that out of a config. */
export const releasesOf = (
  { routes, services }: ReleaseConfig,
  shared: Pick<Services, 'shared'>
): Releases => ({
  of: ({ index }) => routes[index]!,
  fallbackOf: (service) => services[service]?.fallback,
  metrics: metricsOf(shared)
})

interface ReleaseConfig {
  readonly routes: readonly RouteRelease[]
  readonly services: Readonly<Record<string, { readonly fallback?: FallbackOptions }>>
}

/** Everything that a route's requests may become; `planOf` plans the route for one of the services. */
export function planRelease(
  route: CompiledRoute,
  { of, fallbackOf, metrics }: Releases,
  planOf: (route: CompiledRoute, service: string) => Plan
): RoutePlan {
  const options = of(route)
  const mirror =
    options.mirror && new Mirror(planOf(route, options.mirror.service), options.mirror, metrics.mirrors)
  const planned = (service: string): Plan => {
    const fallen = fallbackOf(service)
    const standIn = fallen?.service === undefined ? undefined : planOf(route, fallen.service)
    const own = planOf(route, service)
    // Assigned, not spread: a thousand plans are of one shape, see freezeVerified.
    return Object.assign(own, {
      mirror,
      fallback: fallen && new Fallback(own, fallen, standIn, metrics.fallbacks)
    })
  }
  return Object.assign(planned(route.service), { canary: options.canary && planned(options.canary.service) })
}

/** The plan for the side of the canary that a request is on. */
export const planFor = (plan: RoutePlan, { detour }: Exchange): Plan =>
  plan.canary !== undefined && detour?.side === 'canary' ? plan.canary : plan

/** Hands a request to its service, or to whoever answers in its place; a copy goes to the shadow. */
export function dispatch(
  { pool, mirror, fallback }: Plan,
  call: PoolRequest & AnswerSink,
  request: FastifyRequest,
  reply: FastifyReply
): Sent {
  if (mirror !== undefined) mirror.copy(request)
  return fallback === undefined ? pool.send(call, call) : fallback.send(call, request, reply)
}

/** The services to which methods matter: those that a route with methods may lead to. */
export function servicesWithMethods(
  routes: readonly CompiledRoute[],
  { of, fallbackOf }: Releases
): ReadonlySet<string> {
  const found = new Set<string>()
  for (const route of routes) {
    if (route.methods.length === 0) continue
    const { canary, mirror } = of(route)
    for (const service of [route.service, canary?.service, mirror?.service]) {
      if (service === undefined) continue
      found.add(service)
      const fallback = fallbackOf(service)?.service
      if (fallback !== undefined) found.add(fallback)
    }
  }
  return found
}

/** Headers that mark a copy, which no client may send. */
export const markersOf = (routes: readonly CompiledRoute[], { of }: Releases): readonly string[] =>
  routes.some((route) => of(route).mirror !== undefined) ? [mirrorHeader] : []
