import type { FastifyInstance } from 'fastify'
import type { Sink } from '../../services/logs/sink.ts'
import { call } from './call.ts'

/** Where the access log goes besides standard output, and how that goes. */
export function registerLogs(admin: FastifyInstance, sinks: readonly Sink[]): void {
  admin.get('/admin/logs/sinks', call('List where the access log goes, and how that goes.'), async () => ({
    sinks: sinks.map(shown)
  }))
}

const shown = ({ name, kind, state, queued, queuedBytes, figures, lastError }: Sink) => ({
  name,
  kind,
  state,
  queued,
  queuedBytes,
  sent: figures.sent,
  dropped: figures.dropped,
  failed: figures.failed,
  sampled: figures.sampled,
  lastError: lastError ?? null
})
