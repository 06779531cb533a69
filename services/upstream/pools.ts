import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Services } from '../services.ts'
import type { TLSOptions } from '../transport/connection.ts'
import { Pool } from './pool.ts'
import { Roster } from './roster.ts'
import { poolOptions } from './settings.ts'
import type { ServiceOptions } from './slice.ts'

/**
 * The pools of a config by service name. One whose settings did not change is the same object as before the reload; another one takes
 * over the nodes that it has as well.
 */
export function openPools(
  services: Pick<Services, 'shared' | 'directory'>,
  options: Readonly<Record<string, ServiceOptions>>
): ReadonlyMap<string, Pool> {
  const pools = new Map<string, Pool>()
  for (const [name, service] of Object.entries(options)) {
    const tls = readTLS(service.tls, services.directory)
    const { nodes, balance, timeouts, health, breaker, retry, connections, dns } = service
    const settings = JSON.stringify({
      nodes,
      balance,
      timeouts,
      health,
      breaker,
      retry,
      connections,
      dns,
      tls
    })
    const hash = createHash('sha256').update(settings).digest('base64url').slice(0, 16)
    const roster = services.shared(`nodes:${name}`, () => new Roster(name))
    pools.set(
      name,
      services.shared(
        `pool:${name}@${hash}`,
        () => new Pool(poolOptions(name, service, tls), roster),
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
