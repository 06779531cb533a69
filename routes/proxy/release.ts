import type { Exchange } from '../../plugins/plugin.ts'
import type { FallbackOptions, RouteRelease } from '../../services/release/slice.ts'
import type { Metrics } from '../../services/telemetry/metrics.ts'
import type { Pool } from '../../services/upstream/pool.ts'
import type { CompiledRoute } from '../table/route.ts'
import type { Plan } from './call.ts'
import { Mirror } from './mirror.ts'

/** The plan of a route, and of what else may become of its requests. */
export interface RoutePlan extends Plan {
  /** For requests on the canary's side. */
  readonly canary: Plan | undefined
  readonly mirror: Mirror | undefined
}

/** What the config says of other services than a route's own. */
export interface Releases {
  readonly of: (route: CompiledRoute) => RouteRelease
  /** Who answers in place of a service. */
  readonly fallbackOf: (service: string) => FallbackOptions | undefined
  readonly metrics: Pick<Metrics, 'mirrors' | 'fallbacks'>
}

/** Everything that a route's requests may become; `planOf` plans the route for one of the services. */
export function planRelease(
  route: CompiledRoute,
  { of, metrics }: Releases,
  planOf: (route: CompiledRoute, service: string) => Plan
): RoutePlan {
  const { canary, mirror } = of(route)
  return {
    ...planOf(route, route.service),
    canary: canary && planOf(route, canary.service),
    mirror: mirror && new Mirror(planOf(route, mirror.service), mirror, metrics.mirrors)
  }
}

/** The plan for the side of the canary that a request is on. */
export const planFor = (plan: RoutePlan, { detour }: Exchange): Plan =>
  plan.canary !== undefined && detour?.side === 'canary' ? plan.canary : plan

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

/** The pool of a service that a config names; the checks saw to it that there is one. */
export function poolOf(pools: ReadonlyMap<string, Pool>, route: CompiledRoute, service: string): Pool {
  const pool = pools.get(service)
  if (pool === undefined) throw new TypeError(`route "${route.id}": there is no service "${service}"`)
  return pool
}
