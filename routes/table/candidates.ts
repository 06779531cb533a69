import type { IncomingMessage } from 'node:http'
import { nearest } from '../../config/nearest.ts'
import type { Exchange } from '../../plugins/plugin.ts'
import { rank, type Table } from './compile.ts'
import { type Ask, takesHeaders, takesMethod, takesQuery } from './match.ts'
import { routesInOrder } from './order.ts'
import { maxRegexInput, type Pattern } from './pattern.ts'
import type { CompiledRoute } from './route.ts'

/** A route that takes a request, or would but for what `why` says. */
export interface Candidate {
  readonly id: string
  readonly path: string
  readonly outcome: 'taken' | 'lost'
  readonly why: string
}

/** Candidates that are told, at most. */
const most = 10

/** Those of a request whose exchange was opened: none for what has no path that could be compared, or is answered by the gateway itself. */
export function candidatesOf(
  { method = 'GET', headers }: IncomingMessage,
  { route, refusal, host, resource, query }: Exchange,
  table: Table
): readonly Candidate[] {
  const isMiss = refusal?.code === 'ROUTE_NOT_FOUND' || refusal?.code === 'METHOD_NOT_ALLOWED'
  if (route === undefined && !isMiss) return []
  const taken = table.routes.find((one) => one === route)
  return candidatesFor(table, { method, host, resource, query, headers, allowed: undefined }, taken)
}

/**
 * The routes that a request could have been meant for, the taken one first: those that take it too and come later, and those which a
 * single thing keeps from it. Looks at every route, so it is nothing for a request's way.
 */
function candidatesFor(table: Table, ask: Ask, taken: CompiledRoute | undefined): Candidate[] {
  const lost: { readonly route: CompiledRoute; readonly why: string; readonly distance: number }[] = []
  for (const route of routesInOrder(table)) {
    if (route === taken) continue
    const missed = missesOf(route, ask)
    if (missed.length === 0 && taken !== undefined) {
      lost.push({ route, why: whyAfter(taken, route, ask.host), distance: 0 })
    } else if (missed.length === 1) lost.push({ route, ...missed[0]! })
  }
  const told = lost.sort((a, b) => a.distance - b.distance).slice(0, taken === undefined ? most : most - 1)
  const first: Candidate[] =
    taken === undefined ? [] : [{ id: taken.id, path: taken.path, outcome: 'taken', why: whyTaken(taken) }]
  return [
    ...first,
    ...told.map(({ route: { id, path }, why }): Candidate => ({ id, path, outcome: 'lost', why }))
  ]
}

interface Miss {
  readonly why: string
  /** How far from what was asked; what is further than a slip is not told. */
  readonly distance: number
}

/** What keeps a route from a request; two entries are as good as many. */
function missesOf(route: CompiledRoute, ask: Ask): readonly Miss[] {
  const misses: Miss[] = []
  const miss = (why: string, distance: number): void => void misses.push({ why, distance })
  if (!takesHost(route.hosts, ask.host))
    miss(`it is for the host ${route.hosts.join(' or ')}, not "${ask.host}"`, 3)
  if (!takesMethod(route, ask.method)) miss(`it takes ${route.methods.join(', ')}, not ${ask.method}`, 1)
  if (!takesHeaders(route, ask)) miss(`it wants the headers ${conditions(route.headers)}`, 2)
  if (!takesQuery(route, ask)) miss(`it wants the query parameters ${conditions(route.query)}`, 2)
  if (misses.length < 2 && !takesPath(route.pattern, ask.resource)) {
    const isNear = nearest(bare(ask.resource), [bare(route.path)]) !== undefined
    // Another path altogether is not worth a word.
    miss(`its path is ${route.path}`, isNear ? 4 : 5)
    if (!isNear) miss('', 5)
  }
  return misses
}

const bare = (path: string): string => path.replace(/\/\*?$/, '')

/** Values of headers may be secrets, so only their names are told. */
const conditions = (list: readonly { readonly name: string }[]): string =>
  list.map(({ name }) => name).join(', ')

function takesHost(hosts: readonly string[], host: string): boolean {
  return hosts.length === 0 || hosts.some((one) => (one.startsWith('*') ? isBelow(host, one) : one === host))
}

/** `*.example.com` is for every name below it, at any depth. */
const isBelow = (host: string, wildcard: string): boolean =>
  host.length >= wildcard.length && host.endsWith(wildcard.slice(1))

function takesPath(pattern: Pattern, resource: string): boolean {
  const path = resource.length > 1 && resource.endsWith('/') ? resource.slice(0, -1) : resource
  if (pattern.kind === 'regex') {
    return resource.length <= maxRegexInput && (pattern.regex.test(resource) || pattern.regex.test(path))
  }
  const parts = path.split('/').slice(1)
  const given = parts.length === 1 && parts[0] === '' ? [] : parts
  const { segments, isOpen } = pattern
  if (isOpen ? given.length < segments.length : given.length !== segments.length) return false
  return segments.every((segment, index) => 'parameter' in segment || segment.literal === given[index])
}

const whyTaken = ({ hosts, methods, headers, query }: CompiledRoute): string =>
  [
    hosts.length > 0 && 'host',
    'path',
    methods.length > 0 && 'method',
    headers.length > 0 && `headers ${conditions(headers)}`,
    query.length > 0 && `query parameters ${conditions(query)}`
  ]
    .filter((part) => part !== false)
    .join(', ')

/** Why of two routes that both take a request the first one gets it. */
function whyAfter(taken: CompiledRoute, other: CompiledRoute, host: string): string {
  const hostOrder = hostRank(other, host) - hostRank(taken, host)
  if (hostOrder !== 0) return `it comes later: "${taken.id}" names the host more exactly`
  if (taken.pattern.kind !== other.pattern.kind) {
    return `it comes later: regular expressions are tried after all other paths`
  }
  if (taken.pattern.kind === 'segments' && other.pattern.kind === 'segments') {
    const reason = segmentOrder(taken.pattern, other.pattern)
    if (reason !== undefined) return `it comes later: ${reason}`
  } else if (taken.path.length !== other.path.length) {
    return `it comes later: the longer regular expression is tried first`
  }
  if ((taken.methods.length === 0) !== (other.methods.length === 0)) {
    return `it comes later: "${taken.id}" names its methods`
  }
  if (taken.headers.length !== other.headers.length) return `it comes later: "${taken.id}" wants more headers`
  if (taken.query.length !== other.query.length) {
    return `it comes later: "${taken.id}" wants more query parameters`
  }
  return rank(taken, other) < 0 ? 'it comes later in the file' : 'it comes later'
}

/** 0 for any host, more for a longer wildcard, most for the very name. */
const hostRank = ({ hosts }: CompiledRoute, host: string): number =>
  Math.max(
    0,
    ...hosts
      .filter((one) => takesHost([one], host))
      .map((one) => (one.startsWith('*') ? one.length : Number.POSITIVE_INFINITY))
  )

type Segments = Extract<Pattern, { kind: 'segments' }>

function segmentOrder(taken: Segments, other: Segments): string | undefined {
  const shared = Math.min(taken.segments.length, other.segments.length)
  for (let index = 0; index < shared; index += 1) {
    const [one, two] = [taken.segments[index]!, other.segments[index]!]
    if ('literal' in one && 'parameter' in two) return `"${one.literal}" comes before ":${two.parameter}"`
  }
  if (taken.segments.length > other.segments.length) return 'the longer path comes before a wildcard'
  if (other.isOpen && !taken.isOpen) return 'a whole path comes before a wildcard'
  return taken.hasSlash === other.hasSlash ? undefined : 'the path with the very slash comes first'
}
