import type { IncomingHttpHeaders } from 'node:http'
import type { Branch, HostTable, Leaf, RegexRoute, Table } from './compile.ts'
import { maxRegexInput } from './pattern.ts'
import type { CompiledRoute, Condition } from './route.ts'

/** What a route is looked for by. */
export interface Ask {
  readonly method: string
  /** Lower case, without port; '' when the client named none. */
  readonly host: string
  /** The normalised path as policies compare it (normalise.ts). */
  readonly resource: string
  /** With its `?`; '' without one. */
  readonly query: string
  readonly headers: IncomingHttpHeaders
  /** Filled while matching: methods of routes that would take the request but for its method. */
  allowed: Set<string> | undefined
  /** Set while matching: the path is too long to be put to a regular expression that might want it, so no route may take it. */
  isTooLong?: boolean
}

/** The first route, in order of precedence, that takes the request. After a miss `ask.allowed` tells a wrong method from a wrong path. */
export function match(table: Table, ask: Ask): CompiledRoute | undefined {
  const { host } = ask
  if (table.hosts.size > 0) {
    const exact = table.hosts.get(host)
    const found = exact && matchIn(exact, ask)
    if (found !== undefined || ask.isTooLong === true) return found
  }
  if (table.wildcards.size > 0) {
    for (let dot = host.indexOf('.'); dot > 0; dot = host.indexOf('.', dot + 1)) {
      const wildcard = table.wildcards.get(host.slice(dot))
      const found = wildcard && matchIn(wildcard, ask)
      if (found !== undefined || ask.isTooLong === true) return found
    }
  }
  return matchIn(table.any, ask)
}

function matchIn(table: HostTable, ask: Ask): CompiledRoute | undefined {
  const found = descend(table.root, ask, 1)
  if (found !== undefined || table.regexes.length === 0) return found
  if (ask.resource.length > maxRegexInput) {
    ask.isTooLong = true
    return undefined
  }
  const { resource } = ask
  const bare = resource.length > 1 && resource.endsWith('/') ? resource.slice(0, -1) : resource
  const { fixed, loose } = table
  const end = resource.indexOf('/', 1)
  const shelf = end < 0 ? undefined : fixed.get(resource.slice(1, end))
  let at = 0
  if (shelf !== undefined) {
    for (const one of shelf) {
      for (; at < loose.length && loose[at]!.place < one.place; at += 1) {
        if (fits(loose[at]!, ask, bare)) return loose[at]!.route
      }
      if (fits(one, ask, bare)) return one.route
    }
  }
  for (; at < loose.length; at += 1) if (fits(loose[at]!, ask, bare)) return loose[at]!.route
  return undefined
}

const fits = ({ route, regex }: RegexRoute, ask: Ask, bare: string): boolean =>
  (regex.test(ask.resource) || regex.test(bare)) && takes(route, ask)

/** `at` is where the next segment starts. Literal before parameter before wildcard; a dead end comes back and tries the next. */
function descend(branch: Branch, ask: Ask, at: number): CompiledRoute | undefined {
  const { resource } = ask
  if (at >= resource.length) {
    const isSlashed = resource.endsWith('/')
    // A slash more or less reaches the same route, unless there is one with and one without.
    return (
      pick(isSlashed ? branch.slashed : branch.ends, ask) ??
      pick(isSlashed ? branch.ends : branch.slashed, ask) ??
      pick(branch.open, ask)
    )
  }
  const slash = resource.indexOf('/', at)
  const next = slash < 0 ? resource.length : slash + 1
  const literal = branch.literals.get(resource.slice(at, slash < 0 ? resource.length : slash))
  return (
    (literal && descend(literal, ask, next)) ??
    (branch.parameter && descend(branch.parameter, ask, next)) ??
    pick(branch.open, ask)
  )
}

function pick(leaf: Leaf, ask: Ask): CompiledRoute | undefined {
  if (ask.method === 'HEAD') {
    // A route that lists HEAD itself comes before one that has it by GET.
    for (const route of leaf) if (route.methods.includes('HEAD') && takes(route, ask)) return route
  }
  for (const route of leaf) if (takes(route, ask)) return route
  return undefined
}

function takes(route: CompiledRoute, ask: Ask): boolean {
  if (!takesHeaders(route, ask) || !takesQuery(route, ask)) return false
  if (takesMethod(route, ask.method)) return true
  ask.allowed ??= new Set()
  for (const method of route.methods) ask.allowed.add(method)
  if (ask.allowed.has('GET')) ask.allowed.add('HEAD')
  return false
}

export function takesHeaders(route: CompiledRoute, ask: Ask): boolean {
  for (const condition of route.headers) if (!hasHeader(ask.headers, condition)) return false
  return true
}

export const takesQuery = (route: CompiledRoute, ask: Ask): boolean =>
  route.query.length === 0 || hasQuery(ask.query, route.query)

export const takesMethod = ({ methods }: CompiledRoute, method: string): boolean =>
  methods.length === 0 || methods.includes(method) || (method === 'HEAD' && methods.includes('GET'))

function hasHeader(headers: IncomingHttpHeaders, { name, value }: Condition): boolean {
  const given = headers[name]
  if (given === undefined) return false
  if (value === undefined || given === value) return true
  // Sent twice it arrives as a list, of which the service may read either.
  return String(given)
    .split(',')
    .some((item) => item.trim() === value)
}

function hasQuery(query: string, conditions: readonly Condition[]): boolean {
  const parameters = new URLSearchParams(query)
  return conditions.every(({ name, value }) =>
    value === undefined ? parameters.has(name) : parameters.getAll(name).includes(value)
  )
}
