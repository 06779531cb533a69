import { METHODS } from 'node:http'
import type { Services } from '../services/services.ts'
import { Metrics } from '../services/telemetry/metrics.ts'
import type { Durations, RouteFigures } from '../services/telemetry/route-figures.ts'
import { definePlugin, type RouteInfo } from './plugin.ts'

/** One set of counters for the life of the process. */
export const metricsOf = (services: Pick<Services, 'shared'>): Metrics =>
  services.shared(
    'metrics',
    () => new Metrics(),
    (metrics) => metrics.close()
  )

interface Figures {
  readonly route: RouteFigures
  readonly upstream: Durations | undefined
}

/** Counts every answer once it is out, by route, never by path. */
export const metrics = definePlugin({
  key: 'metrics',

  setup(app, _options, services) {
    const metrics = metricsOf(services)
    const { refusals, canaries } = metrics
    const methods = new Set(METHODS)
    // Looked up by the route itself; a route that no request has met has no figures.
    const known = new Map<RouteInfo | undefined, Figures>()
    const figuresOf = (info: RouteInfo | undefined): Figures => {
      const upstream = info && metrics.service(info.service)
      const figures = { route: metrics.route(info?.id ?? '-'), upstream }
      known.set(info, figures)
      return figures
    }
    app.finishers.push((request, status, endedAt) => {
      const { exchange } = request
      const { route, upstream } = known.get(exchange.route) ?? figuresOf(exchange.route)
      const { method } = request.raw
      route.count(methods.has(method!) ? method! : 'other', status, endedAt - exchange.startedAt)
      const { detour, upstreamTime } = exchange
      if (upstreamTime !== undefined) {
        // Figures of the service that was asked.
        if (detour === undefined) upstream?.add(upstreamTime)
        else metrics.service(detour.service).add(upstreamTime)
      }
      if (detour?.side !== undefined) canaries.inc({ route: route.id, side: detour.side, status })
      if (exchange.verdict !== 'allowed') {
        refusals.inc({ code: exchange.verdict, reason: exchange.reason ?? '-' })
      }
    })
    return undefined
  }
})
