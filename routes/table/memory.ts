import type { Turns } from '../../config/pace.ts'
import { compileTable, type Table, tableInTurns } from './compile.ts'
import { type CompiledRoute, compileRoute } from './route.ts'
import type { RouteOptions } from './slice.ts'

/**
 * Compiles each route once, though several checks and the app ask for it, and those that two configs have in common once for both. Routes
 * are known by their options, which are the same object as long as their text is (config/memory.ts).
 */
export class RouteMemory {
  readonly #routes = new WeakMap<RouteOptions, CompiledRoute>()
  readonly #tables = new WeakMap<readonly RouteOptions[], Table>()

  /** Throws a SyntaxError as `compileRoute` does. */
  readonly compile = (options: RouteOptions, index: number): CompiledRoute => {
    const known = this.#routes.get(options)
    if (known?.index === index) return known
    const route = known === undefined ? compileRoute(options, index) : at(known, index)
    this.#routes.set(options, route)
    return route
  }

  /** Throws a SyntaxError as `compileTable` does. */
  table(routes: readonly RouteOptions[]): Table {
    const known = this.#tables.get(routes)
    if (known !== undefined) return known
    const table = compileTable(routes, this.compile)
    this.#tables.set(routes, table)
    return table
  }

  /** The table of routes that are compiled already, and good; in turns. */
  *tableInTurns(routes: readonly RouteOptions[], compiled: readonly CompiledRoute[]): Turns<Table> {
    const table = this.#tables.get(routes) ?? (yield* tableInTurns(compiled))
    this.#tables.set(routes, table)
    return table
  }
}

/** The same route at another place. Assigned, not spread: a thousand that moved are of one shape, see freezeVerified. */
const at = (route: CompiledRoute, index: number): CompiledRoute =>
  Object.freeze(Object.assign({}, route, { index }))
