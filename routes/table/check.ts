import { METHODS } from 'node:http'
import type { Report } from '../../config/mistake.ts'
import { nearest } from '../../config/nearest.ts'
import { atOnce, type Turns } from '../../config/pace.ts'
import { pointerOf } from '../../config/pointer.ts'
import { type Branch, type HostTable, type Leaf, rank, type Table, tableInTurns } from './compile.ts'
import { RouteMemory } from './memory.ts'
import { type CompiledRoute, type Condition, compileRoute } from './route.ts'
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
      for (const { route, before } of precedence(hostTable)) {
        yield
        const found = told.has(route) ? undefined : hidden(route, before)
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
  readonly before: Leaf
}

function* precedence({ root, regexes }: HostTable): Iterable<Turn> {
  yield* below(root)
  for (const [place, route] of regexes.entries()) {
    yield { route, before: [...openAbove(root, route), ...regexes.slice(0, place)] }
  }
}

function* below({ ends, slashed, open, literals, parameter }: Branch): Iterable<Turn> {
  for (const leaf of [ends, slashed, open]) {
    for (const [place, route] of leaf.entries()) yield { route, before: leaf.slice(0, place) }
  }
  for (const branch of literals.values()) yield* below(branch)
  if (parameter !== undefined) yield* below(parameter)
}

/** Wildcards that cover whatever a regular expression may match: those above the segments it begins with. */
function openAbove(root: Branch, { pattern }: CompiledRoute): Leaf {
  const source = pattern.kind === 'regex' ? pattern.source : ''
  const fixed = source.includes('|') ? '' : (/^\^((?:\/[\w-]+)*)(?=\/)/.exec(source)?.[1] ?? '')
  const found = [...root.open]
  let branch: Branch | undefined = root
  for (const segment of fixed.split('/').slice(1)) {
    branch = branch?.literals.get(segment)
    found.push(...(branch?.open ?? []))
  }
  return found
}

/** Who leaves a route nothing, or is its equal. */
function hidden(
  route: CompiledRoute,
  before: Leaf
): { readonly by: CompiledRoute; readonly isTie: boolean } | undefined {
  const wider = before.filter((other) => coversPath(other, route) && isImplied(other, route))
  const equal = wider.find((other) => isEqual(other, route) && overlap(other, route))
  if (equal !== undefined) return { by: equal, isTie: true }
  const all = wider.find(({ methods }) => methods.length === 0)
  const isCovered =
    route.methods.length > 0 &&
    route.methods.every((method) => wider.some(({ methods }) => methods.includes(method)))
  const by = all ?? (isCovered ? wider[0] : undefined)
  return by && { by, isTie: false }
}

/** Wildcards before a regular expression cover it; another one only when it is the same. Other paths of one place are equal. */
function coversPath({ pattern: one }: CompiledRoute, { pattern: other }: CompiledRoute): boolean {
  if (other.kind !== 'regex') return one.kind !== 'regex'
  return one.kind !== 'regex' || one.source === other.source
}

/** Does every request that meets the conditions of `route` meet those of `other`? */
function isImplied(other: CompiledRoute, route: CompiledRoute): boolean {
  const within = (conditions: readonly Condition[], more: readonly Condition[]): boolean =>
    conditions.every(({ name, value }) =>
      more.some((one) => one.name === name && (value === undefined || one.value === value))
    )
  return within(other.headers, route.headers) && within(other.query, route.query)
}

/** Nothing but the order of the file tells them apart. */
const isEqual = (one: CompiledRoute, other: CompiledRoute): boolean =>
  one.pattern.kind === other.pattern.kind &&
  rank(one, { ...other, index: one.index }) === 0 &&
  isImplied(one, other) &&
  isImplied(other, one)

const overlap = ({ methods: some }: CompiledRoute, { methods: others }: CompiledRoute): boolean =>
  some.length === 0 || others.length === 0 || some.some((method) => others.includes(method))
