import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { toMilliseconds } from '../../config/units.ts'
import type { Services } from '../services.ts'
import type { TLSOptions } from '../transport/connection.ts'
import { UpstreamNode } from './node.ts'
import { Pool } from './pool.ts'
import type { ServiceOptions } from './slice.ts'

/** The pools of a config by service name. One whose settings did not change is the same object as before the reload. */
export function openPools(
  services: Pick<Services, 'shared' | 'directory'>,
  options: Readonly<Record<string, ServiceOptions>>
): ReadonlyMap<string, Pool> {
  const pools = new Map<string, Pool>()
  for (const [name, service] of Object.entries(options)) {
    const tls = readTLS(service.tls, services.directory)
    const { nodes, balance, timeouts, health, retry, connections } = service
    const settings = JSON.stringify({ nodes, balance, timeouts, health, retry, connections, tls })
    const hash = createHash('sha256').update(settings).digest('base64url').slice(0, 16)
    pools.set(
      name,
      services.shared(
        `pool:${name}@${hash}`,
        () => createPool(name, service, tls),
        (pool) => pool.close()
      )
    )
  }
  return pools
}

function readTLS({ verify, ca, servername }: ServiceOptions['tls'], directory: string): TLSOptions {
  return {
    verify,
    ca: ca === undefined ? undefined : readFileSync(resolve(directory, ca), 'utf8'),
    servername
  }
}

function createPool(name: string, options: ServiceOptions, tls: TLSOptions): Pool {
  const { connect, response, idle, total } = options.timeouts
  const limits = { maxConnections: options.connections.max, maxQueue: options.connections.queue }
  return new Pool({
    name,
    nodes: options.nodes.map((node, index) => {
      const { url, weight } = typeof node === 'string' ? { url: node, weight: 1 } : node
      return new UpstreamNode(`${name}-${index + 1}`, url, weight, tls, limits)
    }),
    timeouts: {
      connect: toMilliseconds(connect),
      response: toMilliseconds(response),
      idle: toMilliseconds(idle),
      total: toMilliseconds(total)
    },
    eject: toMilliseconds(options.health.eject),
    attempts: options.retry.attempts
  })
}
