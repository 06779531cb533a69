import type { FastifyRequest } from 'fastify'
import type { Outgoing } from '../../services/transport/transport.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { Plan } from './call.ts'

/** A request as one node gets it: its Host, its base path, and everything that is the same for all nodes. */
export function outgoingFor(
  node: UpstreamNode,
  { raw, exchange }: FastifyRequest,
  { route, pool, isOnce }: Plan,
  path: string,
  headers: readonly string[]
): Outgoing {
  const announced = raw.headers['content-length']
  const length = announced === undefined ? undefined : Number(announced)
  const hasBody = length === undefined ? raw.headers['transfer-encoding'] !== undefined : length > 0
  const { connect, response, idle, total } = pool.timeouts
  const host = route.preserveHost && exchange.authority !== '' ? exchange.authority : node.authority
  return {
    method: raw.method ?? 'GET',
    path: node.base + path + exchange.query,
    headers: ['Host', host, ...headers],
    body: hasBody ? raw : undefined,
    length,
    maxBody: route.maxBody.bytes,
    isOnce,
    timeouts: {
      connect,
      response: route.responseTimeout ?? response,
      idle: route.idleTimeout ?? idle,
      total
    }
  }
}
