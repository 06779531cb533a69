import type { FastifyInstance } from 'fastify'
import type { Pool } from '../../services/upstream/pool.ts'
import type { Table } from '../table/compile.ts'
import { showNode } from './nodes.ts'

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
}

const showPool = ({ name, nodes }: Pool) => ({ name, nodes: nodes.map(showNode) })
