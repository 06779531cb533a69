import type { IncomingMessage } from 'node:http'
import {
  AmbiguousPath,
  AmbiguousRequest,
  MethodNotAllowed,
  type Problem,
  RouteNotFound
} from '../../errors.ts'
import { peerOf } from '../../plugins/guard/client-address.ts'
import type { Exchange } from '../../plugins/plugin.ts'
import { makeTraceparents } from '../../plugins/request-id.ts'
import { type HeadBounds, type HeadRefusal, headRefusalOf } from './bounds.ts'
import type { Table } from './compile.ts'
import { condemn, framingRefusal } from './framing.ts'
import { type Ask, match } from './match.ts'
import { type NormalPath, normalise } from './normalise.ts'
import type { CompiledRoute } from './route.ts'
import { Authorities, parseTarget, type Target } from './target.ts'

/**
 * What opens the exchange of one request: reads its target, brings the path to its one normal form and finds the route. Never throws;
 * what is wrong is `refusal`, for the corridor to throw after the request has its id and its place in the log.
 * `isDoor` says which paths the gateway answers itself: they have no route. Without `bounds` a head may be as large as the parser takes.
 */
export function exchangeOpener(
  table: Table,
  isDoor: (resource: string) => boolean,
  bounds?: HeadBounds
): (raw: IncomingMessage) => Exchange {
  const traceparentOf = makeTraceparents()
  const served: Served = {
    table,
    isDoor,
    authorities: new Authorities(),
    headRefusal: bounds === undefined ? () => undefined : headRefusalOf(bounds)
  }
  return (raw) => open(raw, newExchange(raw, traceparentOf(raw)), served)
}

interface Served {
  readonly table: Table
  readonly isDoor: (resource: string) => boolean
  readonly authorities: Authorities
  readonly headRefusal: HeadRefusal
}

function open(raw: IncomingMessage, exchange: Exchange, served: Served): Exchange {
  const { table, isDoor, authorities } = served
  exchange.refusal = served.headRefusal(raw)
  if (exchange.refusal !== undefined) {
    condemn(raw.socket)
    return exchange
  }
  exchange.refusal = framingRefusal(raw)
  if (exchange.refusal !== undefined) condemn(raw.socket)
  const target = parseTarget(raw.url ?? '/', raw.headers.host, authorities)
  if (typeof target === 'string') {
    condemn(raw.socket)
    exchange.refusal ??= AmbiguousRequest([target], { reason: 'target', headers: { connection: 'close' } })
    return exchange
  }
  exchange.authority = target.authority
  exchange.host = target.host
  exchange.query = target.query
  const normal = normalise(target.path)
  exchange.path = normal.path
  exchange.resource = normal.resource
  if (exchange.refusal !== undefined) return exchange
  if (normal.refusal !== undefined) exchange.refusal = refusePath(normal.refusal)
  else if (isDoor(normal.resource)) {
    if (normal.encoded) exchange.refusal = refusePath(encodedRefusal)
  } else find(exchange, raw, table, target, normal)
  return exchange
}

const encodedRefusal = 'it holds an escaped slash, backslash or dot'

const refusePath = (why: string): Problem => AmbiguousPath([why], { reason: 'path' })

function newExchange(raw: IncomingMessage, traceparent: string): Exchange {
  return {
    route: undefined,
    path: '/',
    resource: '/',
    query: '',
    host: '',
    authority: '',
    client: peerOf(raw.socket),
    principal: undefined,
    verdict: 'allowed',
    reason: undefined,
    refusal: undefined,
    trusted: false,
    traceparent,
    node: undefined,
    detour: undefined,
    upstreamTime: undefined,
    answering: undefined,
    onAnswer: undefined,
    onDebug: undefined,
    preflight: undefined,
    ownsCors: false,
    shadow: undefined,
    counted: undefined,
    webSocket: undefined,
    startedAt: performance.now()
  }
}

function find(
  exchange: Exchange,
  raw: IncomingMessage,
  table: Table,
  { host, query }: Target,
  { path, resource, encoded }: NormalPath
): void {
  if (encoded && !table.hasEncoded) {
    exchange.refusal = refusePath(encodedRefusal)
    return
  }
  const method = raw.method ?? 'GET'
  const ask: Ask = { method, host, resource, query, headers: raw.headers, allowed: undefined }
  const route = match(table, ask)
  const asked = method === 'OPTIONS' ? raw.headers['access-control-request-method'] : undefined
  if (asked !== undefined) exchange.preflight = match(table, { ...ask, method: asked, allowed: undefined })
  if (encoded && !letsEncodedPass(route, table, ask)) {
    exchange.refusal = refusePath(encodedRefusal)
  } else if (route === undefined) {
    exchange.refusal = missOf(ask, path)
  } else exchange.route = route
}

/** An escaped slash passes only where it leads to the same route as the slash itself: a decoding upstream must not be a way around another route. */
function letsEncodedPass(route: CompiledRoute | undefined, table: Table, ask: Ask): boolean {
  if (route?.allowEncoded !== true) return false
  const resource = ask.resource.replace(/%2F|%5C/g, '/').replace(/\/{2,}/g, '/')
  return match(table, { ...ask, resource }) === route
}

function missOf(ask: Ask, path: string): Problem {
  if (ask.isTooLong === true) return refusePath('it is longer than 2048 characters')
  if (ask.allowed === undefined) return RouteNotFound([ask.method, path], { reason: 'route' })
  const methods = [...ask.allowed].sort().join(', ')
  return MethodNotAllowed([path, ask.method, methods], { reason: 'method', headers: { allow: methods } })
}
