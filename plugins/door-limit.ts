import fastifyRateLimit, { type FastifyRateLimitStoreCtor, type RateLimitOptions } from '@fastify/rate-limit'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify'
import { Duration, toMilliseconds } from '../config/units.ts'
import { TooManyAttempts } from '../errors.ts'
import type { Limit } from '../services/limits/limit.ts'
import type { Limits, Said } from '../services/limits/limits.ts'
import { openLimits } from '../services/limits/open.ts'
import { type LimitOptions, limitSchema } from '../services/limits/slice.ts'
import { networkOf } from '../services/limits/subject.ts'
import { definePlugin } from './plugin.ts'

/** The gateway's own endpoints that are worth hammering on. */
export type Door = 'login' | 'refresh' | 'admin'

declare module 'fastify' {
  interface FastifyInstance {
    doorLimits: Readonly<Record<Door, Readonly<RateLimitOptions>>>
  }
}

const door = (max: number, description: string) =>
  Type.Object(
    {
      max: Type.Integer({
        description: 'Requests one address may send in any window, over all gateways on the store.',
        default: max,
        minimum: 1,
        maximum: 1_000_000
      }),
      window: Duration({ description: 'How long a window is.', default: '1m' })
    },
    { additionalProperties: false, default: {}, description }
  )

/** Keeps one address from hammering on login, refresh and the admin API (@fastify/rate-limit). Configured routes never pass here. */
export const doorLimit = definePlugin({
  key: 'doors',

  slice: Type.Object(
    {
      login: door(300, 'POST /auth/login.'),
      refresh: door(3000, 'POST /auth/refresh.'),
      admin: door(3000, 'The admin API.')
    },
    {
      additionalProperties: false,
      default: {},
      description: "How often one address (IPv6: its /64) may use the gateway's own endpoints."
    }
  ),

  async setup(app, options, services) {
    const limits = await openLimits(services, app.log)
    const limitOf = (door: Door) => {
      const { max, window } = options[door]
      const quota = Value.Default(limitSchema, { quota: max, window }) as LimitOptions
      return { limit: limits.limit(`door:${door}`, quota, services), max }
    }
    const counted = { login: limitOf('login'), refresh: limitOf('refresh'), admin: limitOf('admin') }
    await app.register(fastifyRateLimit, {
      global: false,
      store: storeOn(limits, counted),
      addHeaders: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
      addHeadersOnExceeding: {
        'x-ratelimit-limit': false,
        'x-ratelimit-remaining': false,
        'x-ratelimit-reset': false
      },
      errorResponseBuilder: (_request, { ttl }) => tooMany(ttl)
    })
    app.decorate('doorLimits', {
      login: doorLimitOf('login', options.login),
      refresh: doorLimitOf('refresh', options.refresh),
      admin: doorLimitOf('admin', options.admin)
    })
    return undefined
  }
})

/** What a route of the gateway's own puts into its `config` to be guarded; routes of the same door share one count. */
export const guardedAs = (app: FastifyInstance, door: Door): { rateLimit: RateLimitOptions } => ({
  rateLimit: app.doorLimits[door]
})

/**
 * Guards a part of an app from here on in its order of hooks. A route's own limit comes after all hooks of the app: too late to slow
 * down whoever tries tokens against a hook that checks them.
 */
export function guardArea(app: FastifyInstance, door: Door, isInside: (path: string) => boolean): void {
  const limit = app.rateLimit(app.doorLimits[door]) as onRequestAsyncHookHandler
  app.addHook('onRequest', async (request, reply) => {
    if (isInside(request.exchange.path)) await limit.call(app, request, reply)
  })
}

const doorLimitOf = (door: Door, { max, window }: { max: number; window: string }): RateLimitOptions => ({
  keyGenerator: ({ exchange }) => `${door} ${networkOf(exchange.client)}`,
  max,
  timeWindow: toMilliseconds(window)
})

function tooMany(ttl: number): Error {
  const seconds = String(Math.max(1, Math.ceil(ttl / 1000)))
  return TooManyAttempts([seconds], { reason: 'door_limit', headers: { 'retry-after': seconds } })
}

/** The package makes its stores itself, one for each route; all of ours count in the same place, the door being part of the key. */
function storeOn(
  limits: Limits,
  counted: Readonly<Record<Door, { limit: Limit; max: number }>>
): FastifyRateLimitStoreCtor {
  return class DoorStore {
    incr(
      key: string,
      callback: (error: Error | null, result?: { current: number; ttl: number }) => void
    ): void {
      const [door, network] = key.split(' ') as [Door, string]
      const { limit, max } = counted[door]
      const tell = (said: Said) =>
        callback(null, {
          // The package refuses what is above `max`.
          current: said === undefined || said.allowed ? max - (said?.remaining ?? 0) : max + 1,
          ttl: said?.allowed === false ? said.retryAfterMs : (said?.resetMs ?? 0)
        })
      const said = limits.take(limit, limit.numbers(), network)
      if (said instanceof Promise) said.then(tell, callback)
      else tell(said)
    }

    child(): DoorStore {
      return this
    }
  }
}
