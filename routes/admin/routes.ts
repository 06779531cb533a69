import type { FastifyInstance } from 'fastify'
import type { Pool } from '../../services/upstream/pool.ts'
import type { Table } from '../table/compile.ts'
import { call } from './call.ts'
import { showNode } from './nodes.ts'

/** What the config that serves now has: its routes in the file's order, its services and how their nodes are. */
export function registerRoutes(
  admin: FastifyInstance,
  table: Table,
  options: readonly object[],
  pools: ReadonlyMap<string, Pool>
): void {
  admin.get('/admin/routes', call('List the routes that serve, in the order of the file.'), async () => ({
    routes: table.routes.map(({ index }) => options[index])
  }))

  admin.get('/admin/services', call('List the services and how their nodes are.'), async () => ({
    services: [...pools.values()].map(showPool)
  }))
}

const showPool = ({ name, nodes }: Pool) => ({ name, nodes: nodes.map(showNode) })
