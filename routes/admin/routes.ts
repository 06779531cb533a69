import type { FastifyInstance } from 'fastify'
import { NotFound } from '../../errors.ts'
import type { Pool } from '../../services/upstream/pool.ts'
import type { Table } from '../table/compile.ts'

/** What the config that serves now has: its routes in the file's order, its services and how their nodes are. */
export function registerRoutes(
  admin: FastifyInstance,
  table: Table,
  options: readonly object[],
  pools: ReadonlyMap<string, Pool>
): void {
  admin.get('/admin/routes', async () => ({
    routes: table.routes.map(({ index }) => options[index])
  }))

  admin.get('/admin/services', async () => ({ services: [...pools.values()].map(showPool) }))

  admin.get<{ Params: { name: string } }>('/admin/services/:name/nodes', async ({ params: { name } }) => {
    const pool = pools.get(name)
    if (pool === undefined) throw NotFound(['service', name.slice(0, 64)], { reason: 'service' })
    return { nodes: showPool(pool).nodes }
  })
}

const showPool = ({ name, nodes }: Pool) => ({
  name,
  nodes: nodes.map(({ id, url, weight, state, health, inFlight, source }) => ({
    id,
    url,
    weight,
    state,
    health,
    inFlight,
    source
  }))
})
