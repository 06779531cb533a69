import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BadRequest, NotFound } from '../../errors.ts'
import type { PlacedLimit } from '../../plugins/plugin.ts'
import { numbersMistake } from '../../services/limits/check.ts'
import type { Limits } from '../../services/limits/limits.ts'
import type { Numbers } from '../../services/limits/slice.ts'
import { call } from './call.ts'

interface Named {
  readonly Params: { readonly id: string }
  readonly Querystring: { readonly key?: string }
}

const whose = 'Whose count, as /admin/explain shows it under "counts": sub=anna, ip:192.0.2.7, all.'

const number = (description: string) => Type.Optional(Type.Number({ description }))

const Wanted = Type.Object(
  {
    qps: number('Requests a second.'),
    slack: number('Requests above that at once.'),
    quota: number('Requests in a window.'),
    window: Type.Optional(Type.String({ description: 'How long a window is, such as 1h.' })),
    concurrency: number('Requests at the same time.')
  },
  { additionalProperties: false }
)

/** The limits while they run: what they count, where a client stands, and other numbers for them at every gateway on the store. */
export function registerLimitDoors(
  admin: FastifyInstance,
  limits: Limits,
  placed: readonly PlacedLimit[]
): void {
  admin.get(
    '/admin/limits',
    call('List the limits: what they count, and how often they refused.'),
    async () => ({
      store: limits.standby.isAway ? 'away' : 'answers',
      gateways: limits.standby.gateways,
      limits: placed.map((one) => shown(limits, one))
    })
  )

  admin.get<Named>(
    '/admin/limits/:id',
    call('Show a limit, and where one client stands.', { query: { key: whose } }),
    async ({ params: { id }, query: { key } }) => {
      const one = limitOf(placed, id)
      if (key === undefined) return shown(limits, one)
      const verdict = await limits.look(one.limit, keyFrom(key))
      return {
        ...shown(limits, one),
        key,
        // Null: the store cannot be asked.
        standing: verdict === undefined ? null : standing(verdict)
      }
    }
  )

  admin.put<Named>(
    '/admin/limits/:id',
    call('Give a limit other numbers, at every gateway.', { what: 'limit.change', body: Wanted }),
    async (request) => {
      const one = limitOf(placed, request.params.id)
      const numbers = numbersFrom(request.body, one)
      await limits.changes.change(one.limit.id, numbers)
      request.told = { detail: { ...numbers } }
      note(request, one, 'changed', numbers)
      return shown(limits, one)
    }
  )

  admin.delete<Named>(
    '/admin/limits/:id',
    call('Give a limit its configured numbers back.', { what: 'limit.restore' }),
    async (request) => {
      const one = limitOf(placed, request.params.id)
      await limits.changes.change(one.limit.id, undefined)
      note(request, one, 'as configured')
      return shown(limits, one)
    }
  )

  admin.delete<Named>(
    '/admin/limits/:id/counts',
    call("Set one client's count back.", { what: 'limit.reset', query: { key: whose } }),
    async (request, reply) => {
      const { params, query } = request
      const one = limitOf(placed, params.id)
      await limits.reset(one.limit, keyFrom(query.key))
      note(request, one, 'count set back')
      return reply.code(204).send()
    }
  )
}

function shown({ changes }: Limits, { limit, name, by }: PlacedLimit): Readonly<Record<string, unknown>> {
  const { id, options, figures } = limit
  const { scope, mode, shadow, onStoreError, tiers, cost } = options
  const { allowed, refused, shadowed, waiting } = figures
  return {
    id,
    name,
    by,
    ...limit.numbers().options,
    changed: changes.of(id) !== undefined,
    cost,
    scope,
    mode,
    onStoreError,
    shadow,
    ...(tiers !== undefined && { tiers }),
    figures: { allowed, refused, shadowed, waiting }
  }
}

const standing = ({
  allowed,
  remaining,
  retryAfterMs,
  resetMs
}: {
  readonly allowed: boolean
  readonly remaining: number
  readonly retryAfterMs: number
  readonly resetMs: number
}) => ({ allowed, remaining, retryAfterMs: allowed ? 0 : retryAfterMs, resetMs })

function limitOf(placed: readonly PlacedLimit[], id: string): PlacedLimit {
  const found = placed.find(({ limit }) => limit.id === id)
  if (found === undefined) throw NotFound(['limit', id.slice(0, 100)], { reason: 'limit' })
  return found
}

function keyFrom(key: string | undefined): string {
  if (key !== undefined && key !== '' && key.length <= 1000) return key
  throw refuse(
    'Say whose count with ?key=, as `toll explain` and /admin/explain show it under "counts": sub=anna, ip:192.0.2.7, all.'
  )
}

const fields = ['qps', 'slack', 'quota', 'window', 'concurrency'] as const

function numbersFrom(body: unknown, { limit }: PlacedLimit): Numbers {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw refuse('Send the new numbers as a JSON object, such as {"qps": 50, "slack": 10}.')
  }
  const unknown = Object.keys(body).find((key) => !(fields as readonly string[]).includes(key))
  if (unknown !== undefined) {
    throw refuse(`"${unknown.slice(0, 50)}" cannot be changed while running; ${fields.join(', ')} can.`)
  }
  const mistake = numbersMistake(body as Numbers, limit.options)
  if (mistake !== undefined) throw refuse(`${mistake[0]!.toUpperCase()}${mistake.slice(1)}.`)
  return body as Numbers
}

function note(request: FastifyRequest, { limit }: PlacedLimit, what: string, numbers?: Numbers): void {
  const by = request.exchange.principal?.subject
  request.log.info({ requestId: request.id, limit: limit.id, what, ...numbers, by }, 'limit changed')
}

const refuse = (sentence: string) => BadRequest([sentence], { reason: 'body_field' })
