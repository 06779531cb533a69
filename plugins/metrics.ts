import { METHODS } from 'node:http'
import type { Services } from '../services/services.ts'
import { Metrics } from '../services/telemetry/metrics.ts'
import { definePlugin } from './plugin.ts'

/** One set of counters for the life of the process. */
export const metricsOf = (services: Pick<Services, 'shared'>): Metrics =>
  services.shared(
    'metrics',
    () => new Metrics(),
    (metrics) => metrics.close()
  )

/** Counts every answer once it is out, by route, never by path. */
export const metrics = definePlugin({
  key: 'metrics',

  setup(app, _options, services) {
    const { requests, duration, upstream, refusals, canaries } = metricsOf(services)
    const methods = new Set(METHODS)
    app.finishers.push((request, status) => {
      const { exchange } = request
      const route = exchange.route?.id ?? '-'
      const method = methods.has(request.method) ? request.method : 'other'
      requests.inc({ route, method, status })
      duration.observe({ route }, (performance.now() - exchange.startedAt) / 1000)
      const { detour } = exchange
      if (exchange.upstreamTime !== undefined && exchange.route !== undefined) {
        const { service } = detour ?? exchange.route
        upstream.observe({ service }, exchange.upstreamTime / 1000)
      }
      if (detour?.side !== undefined) canaries.inc({ route, side: detour.side, status })
      if (exchange.verdict !== 'allowed') {
        refusals.inc({ code: exchange.verdict, reason: exchange.reason ?? '-' })
      }
    })
    return undefined
  }
})
