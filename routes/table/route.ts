import { toBytes, toWait } from '../../config/units.ts'
import type { RouteInfo } from '../../plugins/plugin.ts'
import { type Pattern, parsePattern } from './pattern.ts'
import { compileRewrite, type Rewrite } from './rewrite.ts'
import type { RouteOptions } from './slice.ts'

/** A condition on one header or query parameter; `undefined` as value means any. */
export interface Condition {
  readonly name: string
  readonly value: string | undefined
}

/** A route as requests meet it: everything the config decides is decided. Frozen. */
export interface CompiledRoute extends RouteInfo {
  readonly pattern: Pattern
  readonly hosts: readonly string[]
  readonly headers: readonly Condition[]
  readonly query: readonly Condition[]
  readonly rewrite: Rewrite
  readonly forwardAuthorization: boolean
  readonly preserveHost: boolean
  readonly allowEncoded: boolean
  readonly maxBody: { readonly size: string; readonly bytes: number }
  /** Milliseconds; undefined leaves it to the service. */
  readonly responseTimeout: number | undefined
  readonly idleTimeout: number | undefined
}

/** Throws a SyntaxError that says in half a sentence what is wrong with the route's path, hosts or rewrite. */
export function compileRoute(options: RouteOptions, index: number): CompiledRoute {
  const { response, idle } = options.timeouts
  return Object.freeze({
    index,
    id: options.id,
    path: options.path,
    methods: listOf([...new Set(options.methods)]),
    service: options.service,
    pattern: parsePattern(options.path),
    hosts: listOf(options.hosts.map(parseHostPattern)),
    headers: conditions(options.headers, (name) => name.toLowerCase()),
    query: conditions(options.query, (name) => name),
    rewrite: compileRewrite(options.rewrite),
    forwardAuthorization: options.forwardAuthorization,
    preserveHost: options.preserveHost,
    allowEncoded: options.allowEncoded,
    maxBody: { size: options.maxBody, bytes: toBytes(options.maxBody) },
    responseTimeout: response === undefined ? undefined : toWait(response),
    idleTimeout: idle === undefined ? undefined : toWait(idle)
  })
}

function conditions(
  values: Readonly<Record<string, string>>,
  key: (name: string) => string
): readonly Condition[] {
  return listOf(
    Object.entries(values).map(([name, value]) => ({
      name: key(name),
      value: value === '*' ? undefined : value
    }))
  )
}

const none: readonly never[] = Object.freeze([])

/** What most routes have none of is one object for all of them: with thousands of routes no cache holds one for each. */
const listOf = <Item>(items: readonly Item[]): readonly Item[] =>
  items.length === 0 ? none : Object.freeze(items)

const hostPattern =
  /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9_](?:[a-z0-9_-]{0,62})$|^\[[0-9a-f:.]+\]$/

function parseHostPattern(host: string): string {
  const pattern = host.toLowerCase().replace(/\.$/, '')
  if (hostPattern.test(pattern)) return pattern
  throw new SyntaxError(`"${host}" is not a host name, nor "*." before one`)
}
