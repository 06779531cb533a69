import type { FastifyInstance } from 'fastify'
import { metricsOf } from '../plugins/metrics.ts'
import type { Bans } from '../services/bans/bans.ts'
import { signalFiguresOf } from '../services/detect/signals.ts'
import type { RevocationState } from '../services/identity/identity.ts'
import type { Limits } from '../services/limits/limits.ts'
import type { Sink } from '../services/logs/sink.ts'
import { pressureOf } from '../services/pressure/pressure.ts'
import type { Services } from '../services/services.ts'
import type { Pool } from '../services/upstream/pool.ts'
import type { Figures } from '../services/workers/messages.ts'
import type { Control } from './admin/control.ts'

/**
 * Whether the process lives, whether it wants requests, and its counters. Open to whoever reaches the admin listener.
 *
 * A store that is down does not make the gateway unready: every replica would leave the balancer at once, and with them
 * the routes that need no store. It is told in ?verbose and in the metrics.
 */
export function registerHealth(
  admin: FastifyInstance,
  control: Control,
  services: Services,
  pools: ReadonlyMap<string, Pool>,
  { limits, bans, sinks }: { readonly limits: Limits; readonly bans: Bans; readonly sinks: readonly Sink[] },
  revocations: (() => RevocationState) | undefined
): () => Promise<Figures> {
  admin.get('/livez', async (_request, reply) => reply.type('text/plain').send('ok\n'))

  admin.get<{ Querystring: { verbose?: string } }>('/readyz', async (request, reply) => {
    const isReady = !control.isDraining
    reply.code(isReady ? 200 : 503)
    if (request.query.verbose === undefined) {
      return reply.type('text/plain').send(isReady ? 'ready\n' : 'draining\n')
    }
    const { last } = control.record
    return reply.send({
      ready: isReady,
      draining: control.isDraining,
      store: await storeState(services),
      revocations: revocations && shown(revocations()),
      config: { ...last, outcome: last.outcome === 'refused' ? 'rejected' : 'good' }
    })
  })

  const metrics = metricsOf(services)
  const { registry } = metrics
  const signals = signalFiguresOf(services)
  const pressure = pressureOf(services)
  const note = (): void => {
    if (revocations !== undefined) metrics.noteRevocations(revocations())
    metrics.noteServices([...pools.values()])
    const { isAway, gateways } = limits.standby
    metrics.noteBans(bans.figures)
    metrics.noteSignals(signals)
    metrics.noteStalls(pressure.stalls)
    metrics.noteSinks(sinks)
    metrics.noteLimits({ isAway, gateways, figures: limits.figures })
  }
  admin.get('/metrics', async (_request, reply) => {
    reply.type(registry.contentType)
    const { crew } = control.processes
    if (crew !== undefined) return crew.metrics()
    note()
    return registry.metrics()
  })
  return async () => {
    note()
    return (await registry.getMetricsAsJSON()) as Figures
  }
}

/** Seconds to the millisecond; null for a list that was never read. */
const shown = ({ isFresh, lag, pending, entries }: RevocationState) => ({
  fresh: isFresh,
  lag: Number.isFinite(lag) ? Math.round(lag * 1000) / 1000 : null,
  pending,
  entries
})

async function storeState({ store }: Services): Promise<{ driver: string; up: boolean }> {
  const up = await store.ping().then(
    () => true,
    () => false
  )
  return { driver: store.driver, up }
}
