import { METHODS } from 'node:http'
import httpProxy from '@fastify/http-proxy'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RouteNotFound } from '../errors.ts'
import type { Principal, RouteInfo } from '../plugins/plugin.ts'
import type { Access } from '../services/identity/access.ts'
import type { Assertions } from '../services/identity/assertions.ts'
import type { OpenExchanges } from '../services/identity/open-exchanges.ts'
import type { Tunnels } from '../services/transport/tunnel.ts'
import type { Pool } from '../services/upstream/pool.ts'
import { Call, type Plan } from './proxy/call.ts'
import { Fallback } from './proxy/fallback.ts'
import { mirrorHeader } from './proxy/mirror.ts'
import {
  planFor,
  planRelease,
  poolOf,
  type Releases,
  type RoutePlan,
  servicesWithMethods
} from './proxy/release.ts'
import { type IdentityHeaders, RequestHeaders } from './proxy/request-headers.ts'
import type { Table } from './table/compile.ts'
import type { CompiledRoute } from './table/route.ts'

export interface ProxyOptions {
  /** The one path under which the app's own router knows every proxied request. */
  readonly path: string
  readonly table: Table
  readonly pools: ReadonlyMap<string, Pool>
  readonly tunnels: Tunnels
  readonly open: OpenExchanges
  /** What a route asks of its callers. */
  readonly accessOf: (route: CompiledRoute) => Access
  /** Without `auth` nobody is told who asks, and still no client may say it. */
  readonly identityHeaders: IdentityHeaders | undefined
  /** Who writes assertions, and into which header; undefined without `auth`. */
  readonly assertions: { readonly header: string; readonly writer: Assertions } | undefined
  /** Headers that are for the gateway alone, such as those with API keys. */
  readonly kept?: readonly string[]
  /** Whether the gateway sets cookies of its own. */
  readonly hidesCookies: boolean
  readonly releases: Releases
}

/** What each route needs of the config, found by the route itself. */
export type Plans = ReadonlyMap<RouteInfo, RoutePlan>

/** Decides everything about proxying that the config decides. */
export function planRoutes(options: ProxyOptions): Plans {
  const {
    table,
    pools,
    accessOf,
    identityHeaders,
    kept = [],
    hidesCookies,
    tunnels,
    open,
    assertions,
    releases
  } = options
  const conditions = table.routes.flatMap((route) => route.headers.map(({ name }) => name))
  const isMirrored = table.routes.some((route) => releases.of(route).mirror !== undefined)
  const headers = new RequestHeaders(identityHeaders ?? unused, {
    conditions,
    kept: isMirrored ? [...kept, mirrorHeader] : kept,
    hidesCookies
  })
  const withMethods = servicesWithMethods(table.routes, releases)
  const planOf = (route: CompiledRoute, service: string): Plan => {
    const access = accessOf(route)
    const endsWithToken = access.onExpiry === 'close'
    const isOnce = access.oneTime
    const assertionFor = (audience: string) =>
      access.assertion && assertions !== undefined
        ? {
            header: assertions.header,
            of: (principal: Principal) => assertions.writer.of(principal, audience)
          }
        : undefined
    const fallen = releases.fallbackOf(service)
    const fallback =
      fallen &&
      new Fallback({
        route,
        service,
        options: fallen,
        pool: fallen.service === undefined ? undefined : poolOf(pools, route, fallen.service),
        assertion: fallen.service === undefined ? undefined : assertionFor(fallen.service),
        isOnce,
        count: releases.metrics.fallbacks
      })
    return {
      tunnels,
      open,
      route,
      pool: poolOf(pools, route, service),
      headers,
      endsWithToken,
      isOnce,
      assertion: assertionFor(service),
      keepsMethod:
        withMethods.has(service) || (fallen?.service !== undefined && withMethods.has(fallen.service)),
      hidesCookies,
      fallback
    }
  }
  return new Map(table.routes.map((route) => [route, planRelease(route, releases, planOf)]))
}

const unused: IdentityHeaders = { user: 'x-user-id', session: 'x-session-id', scopes: 'x-scopes' }

/** Never resolved: @fastify/http-proxy wants to know an upstream, the pool knows better. */
const placeholder = 'http://upstream.invalid'

const kCall = Symbol('call')
type Called = FastifyRequest & { [kCall]?: Call }

/**
 * The door behind which every configured route is. @fastify/http-proxy takes the request from Fastify and gives the answer back;
 * between the two stands our own client, because the one it brings retries 503s, drops bodies of GET requests, relays Connection and keeps
 * working for clients that left.
 */
export async function registerProxy(app: FastifyInstance, options: ProxyOptions): Promise<Plans> {
  const plans = planRoutes(options)
  const methods = METHODS.filter((method) => method !== 'CONNECT' && method !== 'TRACE')
  for (const method of methods) {
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method, { hasBody: false })
  }
  await app.register(async (scope) => {
    scope.addHook('onRequest', (request, _reply, done) => {
      const { headers } = request.raw
      // What the body is is for the service to say: Fastify may not refuse a content type that it cannot read.
      if (headers['content-type'] !== undefined) headers['content-type'] = 'application/octet-stream'
      done()
    })
    await scope.register(httpProxy, {
      upstream: placeholder,
      prefix: options.path,
      routes: ['/'],
      httpMethods: methods,
      disableRequestLogging: true,
      internalRewriteLocationHeader: false,
      undici: client as object,
      handler: (request, reply) => {
        const { route } = request.exchange
        const plan = route && plans.get(route)
        if (plan === undefined)
          throw RouteNotFound([request.method, request.exchange.path], { reason: 'route' })
        plan.mirror?.copy(request)
        ;(request as Called)[kCall] = new Call(request, reply, planFor(plan, request.exchange))
        return reply.from('/', relayOptions)
      }
    })
  })
  return plans
}

/** The same for all requests: what differs is in the call. */
const relayOptions = {
  // The call is all that our client needs; @fastify/reply-from copies it along with the headers it is on.
  rewriteRequestHeaders: (request: unknown) =>
    ({ [kCall]: (request as Called)[kCall] }) as Record<never, never>,
  retryDelay: () => null,
  onResponse: (request: unknown) => (request as Called)[kCall]?.write()
}

/** @fastify/reply-from takes any object that has `request` for its client. */
const client = {
  request(
    { headers }: { readonly headers: { readonly [kCall]?: Call } },
    callback: (error: null, answer: { statusCode: number; headers: object; body: undefined }) => void
  ): void {
    // The real status and headers are written by the call itself, with their spelling and order.
    headers[kCall]?.send(() => callback(null, { statusCode: 200, headers: {}, body: undefined }))
  }
}
