import { toMilliseconds } from '../../config/units.ts'
import type { TLSOptions } from '../transport/connection.ts'
import { balanceOf } from './balance-slice.ts'
import type { NodeSpec } from './member.ts'
import { identityOf } from './node-id.ts'
import type { PoolOptions } from './pool.ts'
import type { ServiceOptions } from './slice.ts'
import type { BreakerSettings } from './standing.ts'

/** What a service's config says, in milliseconds and shares. */
export function poolOptions(name: string, options: ServiceOptions, tls: TLSOptions): PoolOptions {
  const { timeouts, health, retry, connections } = options
  return {
    name,
    specs: options.nodes.map((node) => specOf(name, node)),
    tls,
    limits: { maxConnections: connections.max, maxQueue: connections.queue },
    timeouts: {
      connect: toMilliseconds(timeouts.connect),
      response: toMilliseconds(timeouts.response),
      idle: toMilliseconds(timeouts.idle),
      total: toMilliseconds(timeouts.total)
    },
    balance: balanceOf(options.balance),
    health: {
      failures: health.failures,
      eject: toMilliseconds(health.eject),
      maxEject: toMilliseconds(health.maxEject),
      maxEjected: health.maxEjected / 100,
      serverErrors: health.serverErrors,
      breaker: breakerOf(options.breaker)
    },
    retry: {
      attempts: retry.attempts,
      statuses: new Set(retry.statuses),
      budget: retry.budget / 100,
      minimum: retry.minimum
    }
  }
}

function specOf(service: string, node: ServiceOptions['nodes'][number]): NodeSpec {
  if (typeof node === 'string') {
    return { id: identityOf(service, node), url: node, weight: 1, source: 'config' }
  }
  const { id, url, weight } = node
  return { id: id ?? identityOf(service, url), url, weight, source: 'config' }
}

function breakerOf(options: ServiceOptions['breaker']): BreakerSettings | undefined {
  const { failures, share, minimum, window, open, trials } = options
  if (failures === undefined && share === undefined) return undefined
  return {
    failures: failures ?? Number.POSITIVE_INFINITY,
    share: share === undefined ? Number.POSITIVE_INFINITY : share / 100,
    minimum,
    window: toMilliseconds(window),
    open: toMilliseconds(open),
    trials
  }
}
