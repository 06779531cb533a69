import { Value } from '@sinclair/typebox/value'
import { compileTable, type Table } from '../../routes/table/compile.ts'
import { type Ask, match } from '../../routes/table/match.ts'
import { normalise } from '../../routes/table/normalise.ts'
import { type RouteOptions, routeSlice } from '../../routes/table/slice.ts'

/** A route with the defaults of the schema, as a config has it after validation. */
export function routeOf(options: Partial<RouteOptions> & { id: string; path: string }): RouteOptions {
  const route = Value.Default(routeSlice, structuredClone({ service: 'orders', ...options }))
  const mistakes = [...Value.Errors(routeSlice, route)]
  if (mistakes.length > 0) throw new TypeError(`${mistakes[0]?.path} ${mistakes[0]?.message}`)
  return route as RouteOptions
}

/** Routes by path only; each is named after its path. */
export const tableOfPaths = (...paths: string[]): Table =>
  compileTable(paths.map((path, index) => ({ ...routeOf({ id: `r${index}`, path }) })))

export interface Asked {
  readonly method?: string
  readonly host?: string
  readonly headers?: Record<string, string>
}

/** The path of the route that takes `url`, or what is in its place. */
export function routed(table: Table, url: string, { method = 'GET', host = '', headers = {} }: Asked = {}) {
  const [path = '', query] = url.split('?', 2)
  const ask: Ask = {
    method,
    host,
    headers,
    resource: normalise(path).resource,
    query: query === undefined ? '' : `?${query}`,
    allowed: undefined
  }
  const route = match(table, ask)
  if (route !== undefined) return route
  return ask.allowed === undefined ? 404 : [...ask.allowed].sort().join(' ')
}
