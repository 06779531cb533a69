import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Rate, rateOf, type Verdict } from '../../services/limits/bucket.ts'
import { Limits } from '../../services/limits/limits.ts'
import { type LimitOptions, type RouteLimitOptions, routeLimitSchema } from '../../services/limits/slice.ts'
import type { CanaryOptions } from '../../services/release/slice.ts'
import type { Services } from '../../services/services.ts'
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
    const take = takerOf(app, services)
    return (route: LimitedRoute) => routeStep(take, route, (by) => !needsPrincipal(by))
  }
})

/** Counts by subject or claim, once it is known that the request may pass. */
export const limitBySubject = definePlugin({
  key: 'limit-by-subject',

  setup(app, _options, services) {
    const take = takerOf(app, services)
    return (route: LimitedRoute) => routeStep(take, route, needsPrincipal)
  }
})

/** Counts what goes to a service, whichever routes lead there. */
export const limitByService = definePlugin({
  key: 'limit-by-service',

  setup(app, _options, services) {
    const take = takerOf(app, services)
    return (route: LimitedRoute) => {
      const stable = serviceStep(take, route, route.service, route.serviceLimit)
      const { canary } = route
      if (canary === undefined) return stable
      return bySide(stable, serviceStep(take, route, canary.service, route.canaryLimit))
    }
  }
})

function serviceStep(
  take: Taker,
  route: LimitedRoute,
  service: string,
  limit: LimitOptions | undefined
): ExplainedStep | undefined {
  if (limit === undefined) return undefined
  // A client that sees both limits has to be able to tell them apart.
  const name = route.limit !== undefined && route.id === service ? `service:${service}` : service
  const shown = showLimit(name, limit.qps, 'service_limit')
  return step(take, limit, shown, `service:${service}`, keyBy('route'))
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

function routeStep(take: Taker, route: LimitedRoute, isHere: (by: string) => boolean): Step | undefined {
  const { limit, id } = route
  if (limit === undefined || !isHere(limit.by)) return undefined
  return step(take, limit, showLimit(id, limit.qps, 'route_limit'), `route:${id}`, keyBy(limit.by))
}

function step(
  take: Taker,
  options: LimitOptions & { readonly by?: string },
  shown: ShownLimit,
  prefix: string,
  keyOf: KeyOf
): ExplainedStep {
  const rate = rateOf(options)
  const count: Step = async (request, reply) => {
    settle(shown, await take(`${prefix}:${keyOf(request)}`, rate), request, reply)
  }
  const { by = 'service', qps, slack } = options
  return Object.assign(count, {
    explain(request: FastifyRequest, note: Note): 'not asked' {
      // What a header holds may be secret.
      note({
        limit: shown.name,
        qps,
        slack,
        by,
        ...(!by.startsWith('header:') && { counts: keyOf(request) })
      })
      // To look would be to count.
      return 'not asked'
    }
  })
}

type Taker = (key: string, rate: Rate) => Promise<Verdict>

/** One `Limits` for the whole process, so that what is known of an outage outlives a reload. */
function takerOf({ log }: FastifyInstance, { store, shared }: Services): Taker {
  const limits = shared(
    'limits',
    () =>
      new Limits({
        onOutage: () => log.warn('the store does not answer: limits are counted by this process alone'),
        onRecovery: () => log.info('the store answers again: limits are shared again')
      })
  )
  return (key, rate) => limits.take(store, key, rate)
}
