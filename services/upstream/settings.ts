import { Resolver } from 'node:dns'
import { toMilliseconds, toWait } from '../../config/units.ts'
import type { TLSOptions } from '../transport/connection.ts'
import { balanceOf } from './balance-slice.ts'
import type { CheckSettings } from './checker.ts'
import type { NodeSpec } from './member.ts'
import { identityOf } from './node-id.ts'
import type { PoolOptions } from './pool.ts'
import type { ServiceOptions } from './slice.ts'
import type { BreakerSettings } from './standing.ts'

/** What a service's config says, in milliseconds and shares. */
export function poolOptions(name: string, options: ServiceOptions, tls: TLSOptions): PoolOptions {
  const { timeouts, health, retry, connections, dns } = options
  return {
    name,
    specs: options.nodes.map((node) => specOf(name, node)),
    tls,
    common: {
      limits: { maxConnections: connections.max, maxQueue: connections.queue },
      names: {
        servers: soundServers(name, dns.servers),
        family: dns.family,
        minTTL: atLeast(100, dns.minTTL),
        maxTTL: atLeast(100, dns.maxTTL),
        timeout: atLeast(100, dns.timeout)
      },
      checks: health.active && checksOf(health.active)
    },
    timeouts: {
      connect: toWait(timeouts.connect),
      response: toWait(timeouts.response),
      idle: toWait(timeouts.idle),
      total: toWait(timeouts.total)
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
  const { id, url, srv, weight } = node
  return { id: id ?? identityOf(service, url), url, srv, weight, source: 'config' }
}

/** Throws now rather than once the config serves. */
function soundServers(service: string, servers: readonly string[]): readonly string[] {
  try {
    if (servers.length > 0) new Resolver().setServers(servers)
    return servers
  } catch {
    throw new TypeError(
      `services.${service}.dns.servers has an entry that is no address; write "10.0.0.2" or "10.0.0.2:5353".`
    )
  }
}

function checksOf(active: NonNullable<ServiceOptions['health']['active']>): CheckSettings {
  const { type, method, path, status, interval, jitter, timeout, unhealthyAfter, healthyAfter } = active
  const [first, last = first] = status.split('-').map(Number) as [number, number?]
  return {
    type,
    method,
    path,
    statuses: [first, last],
    interval: atLeast(100, interval),
    jitter: jitter / 100,
    timeout: atLeast(10, timeout),
    unhealthyAfter,
    healthyAfter
  }
}

/** So that no setting makes the gateway do nothing but ask. */
const atLeast = (least: number, duration: string): number => Math.max(least, toWait(duration))

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
