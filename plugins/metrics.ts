import { METHODS } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Services } from '../services/services.ts'
import { Metrics, type Names } from '../services/telemetry/metrics.ts'
import type { Durations, RouteFigures } from '../services/telemetry/route-figures.ts'
import { ByRoute } from './by-route.ts'
import { definePlugin, type RouteInfo } from './plugin.ts'

/** One set of counters for the life of the process. */
export const metricsOf = (services: Pick<Services, 'shared'>): Metrics =>
  services.shared(
    'metrics',
    () => new Metrics(),
    (metrics) => metrics.close()
  )

/** Figures of routes and services go with the last config that has them. */
export function holdFigures(app: FastifyInstance, names: Names, metrics: Metrics): void {
  metrics.hold(names)
  app.addHook('onClose', () => metrics.release(names))
}

interface Figures {
  readonly route: RouteFigures
  readonly upstream: Durations | undefined
}

/** Counts every answer once it is out, by route, never by path. */
export const metrics = definePlugin({
  key: 'metrics',

  setup(app, _options, services) {
    const metrics = metricsOf(services)
    const { canaries } = metrics
    const methods = new Set(METHODS)
    // Looked up by the route itself; a route that no request has met has no figures.
    const known = new ByRoute<Figures>()
    const figuresOf = (info: RouteInfo): Figures => {
      const figures = { route: metrics.route(info.id), upstream: metrics.service(info.service) }
      known.set(info, figures)
      return figures
    }
    const unrouted: Figures = { route: metrics.route('-'), upstream: undefined }
    app.finishers.push((request, status, endedAt) => {
      const { exchange } = request
      const info = exchange.route
      const { route, upstream } = info === undefined ? unrouted : (known.get(info) ?? figuresOf(info))
      const { method } = request.raw
      route.count(methods.has(method!) ? method! : 'other', status, endedAt - exchange.startedAt)
      const { detour, upstreamTime } = exchange
      if (upstreamTime !== undefined) {
        // Figures of the service that was asked.
        if (detour === undefined) upstream?.add(upstreamTime)
        else metrics.service(detour.service).add(upstreamTime)
      }
      if (detour?.side !== undefined) canaries.inc({ route: route.id, side: detour.side, status })
      if (exchange.verdict !== 'allowed') metrics.countRefusal(exchange.verdict, exchange.reason)
    })
    return undefined
  }
})
