import { Pace } from '../../config/pace.ts'
import { ByRoute } from '../../plugins/by-route.ts'
import type { Principal } from '../../plugins/plugin.ts'
import type { Access } from '../../services/identity/access.ts'
import type { Assertions } from '../../services/identity/assertions.ts'
import type { OpenExchanges } from '../../services/identity/open-exchanges.ts'
import type { Timeouts } from '../../services/transport/transport.ts'
import type { Tunnels } from '../../services/transport/tunnel.ts'
import type { Pool } from '../../services/upstream/pool.ts'
import type { Table } from '../table/compile.ts'
import type { CompiledRoute } from '../table/route.ts'
import { AnswerHeaders } from './answer-headers.ts'
import type { Fallback } from './fallback.ts'
import type { Mirror } from './mirror.ts'
import { markersOf, planRelease, type Releases, type RoutePlan, servicesWithMethods } from './release.ts'
import { type HeaderRules, type IdentityHeaders, RequestHeaders } from './request-headers.ts'

/** Who carries requests and answers: see decision 0009. */
export type Engine = 'direct' | 'http-proxy'

/** Everything the config decided about one route's requests. */
export interface Plan {
  readonly route: CompiledRoute
  readonly engine: Engine
  readonly pool: Pool
  /** Most bytes of a request's body. */
  readonly maxBody: number
  readonly timeouts: Timeouts
  readonly headers: RequestHeaders
  readonly rules: HeaderRules
  readonly answerHeaders: AnswerHeaders
  readonly tunnels: Tunnels
  readonly open: OpenExchanges
  /** Whether WebSockets and event streams end with the token that let them in. */
  readonly endsWithToken: boolean
  /** Whether a request is used up by being sent, so that it is not sent twice. */
  readonly isOnce: boolean
  /** Whether the gateway sets cookies of its own, which are none of a service's business. */
  readonly hidesCookies: boolean
  /** Who answers while the service cannot be asked. */
  readonly fallback: Fallback | undefined
  /** What gets copies of the requests. */
  readonly mirror: Mirror | undefined
}

/** What each route needs of the config, found by the route itself. */
export type Plans = Pick<ByRoute<RoutePlan>, 'get' | 'some'>

export interface PlanOptions {
  readonly table: Table
  readonly pools: ReadonlyMap<string, Pool>
  /** Which engine a service's requests take. */
  readonly engineOf: (service: string) => Engine
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

const unused: IdentityHeaders = { user: 'x-user-id', session: 'x-session-id', scopes: 'x-scopes' }

/** Decides everything about proxying that the config decides. */
export async function planRoutes(options: PlanOptions): Promise<Plans> {
  const { table, pools, kept = [], hidesCookies, tunnels, open, releases } = options
  const conditions = table.routes.flatMap((route) => route.headers.map(({ name }) => name))
  const headers = new RequestHeaders(options.identityHeaders ?? unused, {
    conditions,
    kept: [...kept, ...markersOf(table.routes, releases)],
    hidesCookies
  })
  const answerHeaders = new AnswerHeaders()
  const withMethods = servicesWithMethods(table.routes, releases)
  const shared = new Map<string, HeaderRules>()
  const planOf = (route: CompiledRoute, service: string): Plan => {
    const pool = pools.get(service)
    if (pool === undefined) throw new TypeError(`route "${route.id}": there is no service "${service}"`)
    const access = options.accessOf(route)
    const rules = sharedRules(rulesOf(route, service, access, options, withMethods.has(service)), shared)
    return {
      route,
      engine: options.engineOf(service),
      pool,
      maxBody: route.maxBody.bytes,
      timeouts: timeoutsOf(route, pool),
      headers,
      rules,
      answerHeaders,
      tunnels,
      open,
      endsWithToken: access.onExpiry === 'close',
      isOnce: access.oneTime,
      hidesCookies,
      fallback: undefined,
      mirror: undefined
    }
  }
  const plans = new ByRoute<RoutePlan>()
  const pace = new Pace()
  for (const route of table.routes) {
    plans.set(route, planRelease(route, releases, planOf))
    if (pace.isDue) await pace.rest()
  }
  return plans
}

function rulesOf(
  { forwardAuthorization, rewrite }: CompiledRoute,
  service: string,
  access: Access,
  { assertions }: PlanOptions,
  keepsMethod: boolean
): HeaderRules {
  const assertion =
    access.assertion && assertions !== undefined
      ? {
          header: assertions.header,
          of: (principal: Principal) => assertions.writer.of(principal, service)
        }
      : undefined
  return { forwardAuthorization, keepsMethod, prefix: rewrite.prefix, assertion }
}

/** Rules that say the same are one object, so that thousands of routes do not each have one of their own to be fetched from memory. */
function sharedRules(rules: HeaderRules, shared: Map<string, HeaderRules>): HeaderRules {
  const { forwardAuthorization, keepsMethod, prefix, assertion } = rules
  if (assertion !== undefined) return rules
  const key = `${forwardAuthorization} ${keepsMethod} ${prefix}`
  const known = shared.get(key)
  if (known === undefined) shared.set(key, rules)
  return known ?? rules
}

/** Mostly the pool's own, shared by all of its routes. */
function timeoutsOf({ responseTimeout, idleTimeout }: CompiledRoute, { timeouts }: Pool): Timeouts {
  if (responseTimeout === undefined && idleTimeout === undefined) return timeouts
  const { connect, response, idle, total } = timeouts
  return { connect, response: responseTimeout ?? response, idle: idleTimeout ?? idle, total }
}
