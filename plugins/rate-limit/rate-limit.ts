import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { rateOf } from '../../services/limits/bucket.ts'
import { Limits } from '../../services/limits/limits.ts'
import { type LimitOptions, type RouteLimitOptions, routeLimitSchema } from '../../services/limits/slice.ts'
import type { Services } from '../../services/services.ts'
import { definePlugin, type RouteInfo, type Step } from '../plugin.ts'
import { type ShownLimit, settle, showLimit } from './fields.ts'
import { type KeyOf, keyBy, needsPrincipal } from './key.ts'

type LimitedRoute = RouteInfo & { readonly limit?: RouteLimitOptions; readonly serviceLimit?: LimitOptions }

/** Counts by address, route or header: before anything is spent on finding out who asks. */
export const limitEarly = definePlugin({
  key: 'limit',
  route: Type.Object({ limit: Type.Optional(routeLimitSchema) }),

  setup(app, _options, services) {
    app.decorateRequest('tightest', undefined)
    const limits = limitsOf(app, services)
    return (route: LimitedRoute) => routeStep(limits, route, (by) => !needsPrincipal(by))
  }
})

/** Counts by subject or claim, once it is known that the request may pass. */
export const limitBySubject = definePlugin({
  key: 'limit-by-subject',

  setup(app, _options, services) {
    const limits = limitsOf(app, services)
    return (route: LimitedRoute) => routeStep(limits, route, needsPrincipal)
  }
})

/** Counts what goes to a service, whichever routes lead there. */
export const limitByService = definePlugin({
  key: 'limit-by-service',

  setup(app, _options, services) {
    const limits = limitsOf(app, services)
    return (route: LimitedRoute) => {
      const { serviceLimit, service } = route
      if (serviceLimit === undefined) return undefined
      // A client that sees both limits has to be able to tell them apart.
      const name = route.limit !== undefined && route.id === service ? `service:${service}` : service
      return step(limits, serviceLimit, showLimit(name, serviceLimit.qps, 'service_limit'), {
        prefix: `service:${service}`,
        keyOf: keyBy('route')
      })
    }
  }
})

function routeStep(limits: Limits, route: LimitedRoute, isHere: (by: string) => boolean): Step | undefined {
  const { limit, id } = route
  if (limit === undefined || !isHere(limit.by)) return undefined
  const where = { prefix: `route:${id}`, keyOf: keyBy(limit.by) }
  return step(limits, limit, showLimit(id, limit.qps, 'route_limit'), where)
}

function step(
  limits: Limits,
  options: LimitOptions,
  shown: ShownLimit,
  { prefix, keyOf }: { prefix: string; keyOf: KeyOf }
): Step {
  const rate = rateOf(options)
  return async (request, reply) => {
    const verdict = await limits.take(`${prefix}:${keyOf(request)}`, rate)
    settle(shown, verdict, request, reply)
  }
}

/** One for the whole process, so that counts and outages outlive a reload. */
function limitsOf(app: FastifyInstance, services: Services): Limits {
  const { log } = app
  return services.shared(
    'limits',
    () =>
      new Limits(services.store, {
        onOutage: () => log.warn('the store does not answer: limits are counted by this process alone'),
        onRecovery: () => log.info('the store answers again: limits are shared again')
      })
  )
}
