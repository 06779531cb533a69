import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { rateOf } from '../../services/limits/bucket.ts'
import { Limits } from '../../services/limits/limits.ts'
import { type LimitOptions, type RouteLimitOptions, routeLimitSchema } from '../../services/limits/slice.ts'
import type { CanaryOptions } from '../../services/release/slice.ts'
import type { Services } from '../../services/services.ts'
import type { Store } from '../../services/store/store.ts'
import { definePlugin, type Note, type RouteInfo, type Step } from '../plugin.ts'
import { type KeyOf, keyBy, needsPrincipal } from '../request-key.ts'
import { type ShownLimit, settle, showLimit } from './fields.ts'

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

  setup(app, _options, services) {
    app.decorateRequest('tightest', undefined)
    const counter = counterOf(app, services)
    return (route: LimitedRoute) => routeStep(counter, route, (by) => !needsPrincipal(by))
  }
})

/** Counts by subject or claim, once it is known that the request may pass. */
export const limitBySubject = definePlugin({
  key: 'limit-by-subject',

  setup(app, _options, services) {
    const counter = counterOf(app, services)
    return (route: LimitedRoute) => routeStep(counter, route, needsPrincipal)
  }
})

/** Counts what goes to a service, whichever routes lead there. */
export const limitByService = definePlugin({
  key: 'limit-by-service',

  setup(app, _options, services) {
    const counter = counterOf(app, services)
    return (route: LimitedRoute) => {
      const stable = serviceStep(counter, route, route.service, route.serviceLimit)
      const { canary } = route
      if (canary === undefined) return stable
      return bySide(stable, serviceStep(counter, route, canary.service, route.canaryLimit))
    }
  }
})

function serviceStep(
  counter: Counter,
  route: LimitedRoute,
  service: string,
  limit: LimitOptions | undefined
): ExplainedStep | undefined {
  if (limit === undefined) return undefined
  // A client that sees both limits has to be able to tell them apart.
  const name = route.limit !== undefined && route.id === service ? `service:${service}` : service
  const shown = showLimit(name, limit.qps, 'service_limit')
  return step(counter, limit, shown, `service:${service}`, keyBy('route'))
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

type ExplainedStep = Step & { readonly explain: NonNullable<Step['explain']> }

function routeStep(counter: Counter, route: LimitedRoute, isHere: (by: string) => boolean): Step | undefined {
  const { limit, id } = route
  if (limit === undefined || !isHere(limit.by)) return undefined
  return step(counter, limit, showLimit(id, limit.qps, 'route_limit'), `route:${id}`, keyBy(limit.by))
}

function step(
  { limits, store }: Counter,
  options: LimitOptions & { readonly by?: string },
  shown: ShownLimit,
  prefix: string,
  keyOf: KeyOf
): ExplainedStep {
  const rate = rateOf(options)
  const isLocal = options.scope === 'local'
  // Nothing to wait for, no promise.
  const count: Step = isLocal
    ? (request, reply) =>
        settle(shown, limits.takeLocally(`${prefix}:${keyOf(request)}`, rate), request, reply)
    : async (request, reply) => {
        settle(shown, await limits.take(store, `${prefix}:${keyOf(request)}`, rate), request, reply)
      }
  const { by = 'service', qps, slack, scope } = options
  return Object.assign(count, {
    explain(request: FastifyRequest, note: Note): 'not asked' {
      // What a header holds may be secret.
      note({
        limit: shown.name,
        qps,
        slack,
        by,
        scope,
        ...(!by.startsWith('header:') && { counts: keyOf(request) })
      })
      // To look would be to count.
      return 'not asked'
    }
  })
}

/** Where a step's requests are counted. */
interface Counter {
  readonly limits: Limits
  readonly store: Store
}

/** One `Limits` for the whole process, so that what is known of an outage outlives a reload. */
function counterOf({ log }: FastifyInstance, { store, shared }: Services): Counter {
  const limits = shared(
    'limits',
    () =>
      new Limits({
        onOutage: () => log.warn('the store does not answer: limits are counted by this process alone'),
        onRecovery: () => log.info('the store answers again: limits are shared again')
      })
  )
  return { limits, store }
}
