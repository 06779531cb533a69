import { METHODS } from 'node:http'
import type { Report } from '../../config/mistake.ts'
import { nearest } from '../../config/nearest.ts'
import { atOnce, type Turns } from '../../config/pace.ts'
import { pointerOf } from '../../config/pointer.ts'
import { type Branch, type HostTable, type Table, tableInTurns } from './compile.ts'
import { Earlier, hidden } from './earlier.ts'
import { RouteMemory } from './memory.ts'
import { fixedSegments } from './pattern.ts'
import { type CompiledRoute, compileRoute } from './route.ts'
import type { RouteOptions } from './slice.ts'
import { exampleOf } from './witness.ts'

interface Checked {
  readonly routes: readonly RouteOptions[]
}

/**
 * Every route can be read, and every route can be reached. Two routes that are equal in host, path, method and conditions are a mistake,
 * and so is one that others leave nothing: which of them the author meant is not for the order of a file to say.
 */
export const routeTable = (config: Checked, report: Report): void =>
  atOnce(routeTableWith(new RouteMemory())(config, report))

/** The same, leaving what it compiled to whoever comes next. */
export const routeTableWith = (memory: RouteMemory) =>
  function* ({ routes }: Checked, report: Report): Turns<void> {
    unknownMethods(routes, report)
    const compiled: CompiledRoute[] = []
    for (const [index, route] of routes.entries()) {
      const one = readable(route, index, report, memory)
      if (one !== undefined) compiled.push(one)
      yield
    }
    const isWhole = compiled.length === routes.length
    const table = yield* isWhole ? memory.tableInTurns(routes, compiled) : tableInTurns(compiled)
    const told = new Set<CompiledRoute>()
    for (const [host, hostTable] of hostsOf(table)) {
      for (const { route, earlier, own } of precedence(hostTable)) {
        yield
        const found = told.has(route) ? undefined : hidden(route, earlier, own)
        if (found === undefined) continue
        told.add(route)
        const { by, isTie } = found
        const example = exampleOf(table, route, by, host)
        const sentence = isTie
          ? `the routes "${by.id}" and "${route.id}" take the same requests, such as ${example}, and neither is more exact`
          : `the route "${route.id}" gets no request: "${by.id}" takes them first, such as ${example}`
        report.error(pointerOf('routes', route.index, 'path'), sentence)
      }
    }
  }

/** Node refuses a request with another method before any route is asked. */
function unknownMethods(routes: readonly RouteOptions[], report: Report): void {
  for (const [index, { methods }] of routes.entries()) {
    for (const [place, method] of methods.entries()) {
      if (METHODS.includes(method)) continue
      const meant = nearest(method, METHODS)
      report.error(pointerOf('routes', index, 'methods', place), `there is no HTTP method "${method}"`, meant)
    }
  }
}

/** A route that cannot be compiled is told at the field that is wrong. */
function readable(
  route: RouteOptions,
  index: number,
  report: Report,
  memory: RouteMemory
): CompiledRoute | undefined {
  const attempt = (changes?: Partial<RouteOptions>): CompiledRoute | string => {
    try {
      return changes === undefined
        ? memory.compile(route, index)
        : compileRoute({ ...route, ...changes }, index)
    } catch (error) {
      if (error instanceof SyntaxError) return error.message
      throw error
    }
  }
  const compiled = attempt()
  if (typeof compiled !== 'string') return compiled
  const plain = { path: '/', hosts: [], rewrite: {} }
  const parts: readonly (readonly [string, CompiledRoute | string])[] = [
    [pointerOf('path'), attempt({ ...plain, path: route.path })],
    ...route.hosts.map(
      (host, place) => [pointerOf('hosts', place), attempt({ ...plain, hosts: [host] })] as const
    ),
    [pointerOf('rewrite'), attempt({ ...plain, rewrite: route.rewrite })]
  ]
  for (const [at, part] of parts) {
    if (typeof part === 'string') report.error(pointerOf('routes', index) + at, part)
  }
  return undefined
}

function hostsOf({ hosts, wildcards, any }: Table): readonly (readonly [string | undefined, HostTable])[] {
  return [
    ...hosts,
    ...[...wildcards].map(([suffix, table]) => [`*${suffix}`, table] as const),
    [undefined, any]
  ]
}

interface Turn {
  readonly route: CompiledRoute
  /** Routes that are asked first about every path of this one. */
  readonly earlier: readonly Earlier[]
  /** Those of them with a path of the same kind. */
  readonly own: Earlier | undefined
}

function* precedence({ root, regexes }: HostTable): Iterable<Turn> {
  yield* below(root)
  const wildcards = new Map<Branch, Earlier>()
  const sources = new Map<string, Earlier>()
  for (const route of regexes) {
    const source = sourceOf(route)
    const own = sources.get(source) ?? new Earlier()
    sources.set(source, own)
    const above = openAbove(root, source).map((branch) => {
      const open = wildcards.get(branch) ?? new Earlier(branch.open)
      wildcards.set(branch, open)
      return open
    })
    yield { route, earlier: [...above, own], own }
    own.add(route)
  }
}

function* below({ ends, slashed, open, literals, parameter }: Branch): Iterable<Turn> {
  for (const leaf of [ends, slashed, open]) {
    if (leaf.length < 2) continue
    const own = new Earlier()
    for (const route of leaf) {
      yield { route, earlier: [own], own }
      own.add(route)
    }
  }
  for (const branch of literals.values()) yield* below(branch)
  if (parameter !== undefined) yield* below(parameter)
}

const sourceOf = ({ pattern }: CompiledRoute): string => (pattern.kind === 'regex' ? pattern.source : '')

/** Where wildcards cover whatever a regular expression may match: above the segments it begins with. */
function openAbove(root: Branch, source: string): readonly Branch[] {
  const found = [root]
  let branch: Branch | undefined = root
  for (const segment of fixedSegments(source)) {
    branch = branch?.literals.get(segment)
    if (branch !== undefined) found.push(branch)
  }
  return found.filter(({ open }) => open.length > 0)
}
