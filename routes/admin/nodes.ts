import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { NotFound } from '../../errors.ts'
import { attaching, changing, detachedOf, detaching } from '../../services/nodes/edits.ts'
import type { NodeOverrides } from '../../services/nodes/node-overrides.ts'
import type { Member } from '../../services/upstream/member.ts'
import type { Pool } from '../../services/upstream/pool.ts'
import { call } from './call.ts'
import { nodeBody, refuse } from './node-body.ts'

interface Named {
  readonly Params: { readonly name: string; readonly id: string }
}

const weight = Type.Optional(
  Type.Integer({ description: 'Its share of the requests.', minimum: 0, maximum: 1000 })
)

const Added = Type.Object(
  {
    url: Type.String({ description: 'Where it is, such as http://10.0.0.7:8080.' }),
    weight,
    id: Type.Optional(Type.String({ description: 'How it is called; made of its URL unless said.' }))
  },
  { additionalProperties: false }
)

const Change = Type.Object(
  {
    weight,
    state: Type.Optional(
      Type.Union([Type.Literal('up'), Type.Literal('drain'), Type.Literal('down')], {
        description: 'Whether it gets requests, only ends those it has, or gets none.'
      })
    )
  },
  { additionalProperties: false }
)

/** The nodes of a service while it runs: list, add, change, take out. What is changed holds at every gateway on the store. */
export function registerNodes(
  admin: FastifyInstance,
  pools: ReadonlyMap<string, Pool>,
  overrides: NodeOverrides
): void {
  admin.get<Named>(
    '/admin/services/:name/nodes',
    call('List the nodes of a service.'),
    async ({ params: { name } }) => {
      const pool = poolOf(pools, name)
      const detached = detachedOf(pool, overrides.known(name).nodes).map(({ id, url }) => ({ id, url }))
      return { nodes: pool.nodes.map(showNode), detached }
    }
  )

  admin.post<Named>(
    '/admin/services/:name/nodes',
    call('Give a service one more node.', { what: 'node.add', body: Added }),
    async (request, reply) => {
      const pool = poolOf(pools, request.params.name)
      const { url, ...options } = nodeBody(
        request.body,
        ['url', 'weight', 'id'],
        '{"url": "http://10.0.0.7:8080"}'
      )
      if (url === undefined) throw refuse('"url" is missing: where the node is.')
      const { id, edit } = attaching(pool, { url, ...options })
      await overrides.change(pool.name, edit)
      request.told = {
        to: `${pool.name}/${id}`,
        ...(options.weight !== undefined && { detail: { weight: options.weight } })
      }
      note(request, pool, id, 'attached')
      const path = `/admin/services/${pool.name}/nodes/${id}`
      return reply.code(201).header('location', path).send(shown(pool, id))
    }
  )

  admin.get<Named>(
    '/admin/services/:name/nodes/:id',
    call('Show a node.'),
    async ({ params: { name, id } }) => {
      const pool = poolOf(pools, name)
      const node = nodeOf(pool, id)
      if (node.state === 'up') return showNode(node)
      // Null: the store cannot be asked.
      const elsewhere = (await overrides.elsewhere(name, id, node.inFlight)) ?? null
      return { ...showNode(node), elsewhere }
    }
  )

  admin.put<Named>(
    '/admin/services/:name/nodes/:id',
    call('Change the weight or the state of a node.', { what: 'node.change', body: Change }),
    async (request) => {
      const { name, id } = request.params
      const pool = poolOf(pools, name)
      const change = nodeBody(request.body, ['weight', 'state'], '{"state": "drain"}')
      if (Object.keys(change).length === 0) throw refuse('Send "weight", "state" or both.')
      await overrides.change(name, changing(pool, id, change))
      request.told = { detail: { ...change } }
      note(request, pool, id, 'changed', change)
      return { ...shown(pool, id), ...warningOf(request, pool) }
    }
  )

  admin.delete<Named>(
    '/admin/services/:name/nodes/:id',
    call('Take a node out of a service.', { what: 'node.remove' }),
    async (request) => {
      const { name, id } = request.params
      const pool = poolOf(pools, name)
      const node = pool.nodes.find((one) => one.id === id)
      await overrides.change(name, detaching(pool, id))
      note(request, pool, id, 'detached')
      return { id, inFlight: node?.inFlight ?? 0, ...warningOf(request, pool) }
    }
  )
}

/** A node for whoever runs the gateway. */
export const showNode = ({ id, url, weight, state, health, inFlight, source }: Member) => ({
  id,
  url,
  weight,
  state,
  health,
  inFlight,
  source
})

function poolOf(pools: ReadonlyMap<string, Pool>, name: string): Pool {
  const pool = pools.get(name)
  if (pool === undefined) throw NotFound(['service', name.slice(0, 64)], { reason: 'service' })
  return pool
}

function nodeOf(pool: Pool, id: string): Member {
  const node = pool.nodes.find((one) => one.id === id)
  if (node === undefined) throw NotFound(['node', id.slice(0, 64)], { reason: 'node' })
  return node
}

/** The node as it is now; it may be gone again already. */
function shown(pool: Pool, id: string) {
  const node = pool.nodes.find((one) => one.id === id)
  return node === undefined ? { id } : showNode(node)
}

/** Allowed, and worth a word: a service that nobody answers for. */
function warningOf(request: FastifyRequest, { name, nodes }: Pool): { readonly warning?: string } {
  if (nodes.some((node) => node.isTaking)) return {}
  const warning = `"${name}" has no node left that takes requests; they are answered with 503 until it has one.`
  request.log.warn({ service: name }, warning)
  return { warning }
}

/** Who changed what: never where the node is. */
function note(request: FastifyRequest, { name }: Pool, node: string, done: string, change?: object): void {
  const by = request.exchange.principal?.subject
  request.log.info({ service: name, node, by, ...change }, `node ${done}`)
}
