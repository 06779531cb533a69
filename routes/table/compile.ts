import { atOnce, type Turns } from '../../config/pace.ts'
import { fixedSegments, type Pattern } from './pattern.ts'
import { type CompiledRoute, compileRoute } from './route.ts'
import type { RouteOptions } from './slice.ts'

/** Routes that end at one place of the trie, best first. */
export type Leaf = readonly CompiledRoute[]

/** One segment of the trie. A request visits at most two children of a branch, so the number of routes does not count. */
export interface Branch {
  literals: Map<string, Branch>
  parameter: Branch | undefined
  /** Routes that end here without a slash, with one, and with a wildcard. */
  ends: CompiledRoute[]
  slashed: CompiledRoute[]
  open: CompiledRoute[]
}

/** The routes of one host, or host wildcard, or of any host. */
export interface HostTable {
  readonly root: Branch
  readonly regexes: CompiledRoute[]
  /** Those of them whose paths all begin with one segment, by that segment: of thousands a request is put to a few. */
  readonly fixed: Map<string, RegexRoute[]>
  /** The others. */
  readonly loose: RegexRoute[]
}

export interface RegexRoute {
  readonly route: CompiledRoute
  readonly regex: RegExp
  /** Its place among all. */
  readonly place: number
}

/** All routes of a config, ready to match. Read-only after `compileTable`. */
export interface Table {
  readonly routes: readonly CompiledRoute[]
  readonly hosts: ReadonlyMap<string, HostTable>
  /** By the suffix behind `*`, with its dot. */
  readonly wildcards: ReadonlyMap<string, HostTable>
  readonly any: HostTable
  /** True when some route lets escaped slashes through, so that refusing them has to wait for the match. */
  readonly hasEncoded: boolean
}

/** Builds the table once per config. Throws a SyntaxError that names the route when a pattern is wrong; `toll check` reports it first. */
export function compileTable(options: readonly RouteOptions[], compile = compileRoute): Table {
  return tableOf(
    options.map((route, index) => {
      try {
        return compile(route, index)
      } catch (error) {
        throw new SyntaxError(`route "${route.id}": ${(error as Error).message}`)
      }
    })
  )
}

/** The table of routes that are compiled already. */
export const tableOf = (routes: readonly CompiledRoute[]): Table => atOnce(tableInTurns(routes))

/** The same, in turns. */
export function* tableInTurns(routes: readonly CompiledRoute[]): Turns<Table> {
  const hosts = new Map<string, HostTable>()
  const wildcards = new Map<string, HostTable>()
  const any = newHostTable()
  for (const route of routes) {
    if (route.hosts.length === 0) place(any, route)
    for (const host of new Set(route.hosts)) {
      const isWildcard = host.startsWith('*')
      const tables = isWildcard ? wildcards : hosts
      const key = isWildcard ? host.slice(1) : host
      const table = tables.get(key) ?? newHostTable()
      tables.set(key, table)
      place(table, route)
    }
    yield
  }
  for (const table of [any, ...hosts.values(), ...wildcards.values()]) {
    table.regexes.sort((a, b) => sourceLength(b.pattern) - sourceLength(a.pattern) || rank(a, b))
    yield* shelve(table)
    yield* sortLeaves(table.root)
  }
  return { routes, hosts, wildcards, any, hasEncoded: routes.some((route) => route.allowEncoded) }
}

/** Order of routes with the same host and path: methods listed before any, more headers, more query parameters, then the file. */
export function rank(a: CompiledRoute, b: CompiledRoute): number {
  return (
    Number(a.methods.length === 0) - Number(b.methods.length === 0) ||
    b.headers.length - a.headers.length ||
    b.query.length - a.query.length ||
    a.index - b.index
  )
}

const sourceLength = (pattern: Pattern): number => (pattern.kind === 'regex' ? pattern.source.length : 0)

function* shelve({ regexes, fixed, loose }: HostTable): Turns<void> {
  for (const [place, route] of regexes.entries()) {
    if (route.pattern.kind !== 'regex') continue
    const { regex, source } = route.pattern
    const [segment] = fixedSegments(source)
    const shelf = segment === undefined ? loose : (fixed.get(segment) ?? [])
    shelf.push({ route, regex, place })
    if (segment !== undefined) fixed.set(segment, shelf)
    yield
  }
}

const newHostTable = (): HostTable => ({ root: newBranch(), regexes: [], fixed: new Map(), loose: [] })

/** What most branches have of most things; shared by all of them, and never added to. */
const noBranches = new Map<string, Branch>()
const noRoutes = Object.freeze([]) as unknown as CompiledRoute[]

const newBranch = (): Branch => ({
  literals: noBranches,
  parameter: undefined,
  ends: noRoutes,
  slashed: noRoutes,
  open: noRoutes
})

function literalOf(branch: Branch, name: string): Branch {
  const known = branch.literals.get(name)
  if (known !== undefined) return known
  if (branch.literals === noBranches) branch.literals = new Map()
  const next = newBranch()
  branch.literals.set(name, next)
  return next
}

function append(leaf: CompiledRoute[], route: CompiledRoute): CompiledRoute[] {
  if (leaf === noRoutes) return [route]
  leaf.push(route)
  return leaf
}

function place(table: HostTable, route: CompiledRoute): void {
  const { pattern } = route
  if (pattern.kind === 'regex') {
    table.regexes.push(route)
    return
  }
  let branch = table.root
  for (const segment of pattern.segments) {
    if ('parameter' in segment) {
      branch.parameter ??= newBranch()
      branch = branch.parameter
    } else branch = literalOf(branch, segment.literal)
  }
  if (pattern.isOpen) branch.open = append(branch.open, route)
  else if (pattern.hasSlash) branch.slashed = append(branch.slashed, route)
  else branch.ends = append(branch.ends, route)
}

function* sortLeaves(branch: Branch): Turns<void> {
  for (const leaf of [branch.ends, branch.slashed, branch.open]) if (leaf.length > 1) leaf.sort(rank)
  yield
  for (const next of branch.literals.values()) yield* sortLeaves(next)
  if (branch.parameter !== undefined) yield* sortLeaves(branch.parameter)
}
