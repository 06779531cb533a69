import type { Table } from './compile.ts'
import { match } from './match.ts'
import type { Pattern } from './pattern.ts'
import type { CompiledRoute } from './route.ts'

/** A request that would be the route's, if it were not taken by another one: "GET http://example.com/orders/x". */
export function exampleOf(
  table: Table,
  route: CompiledRoute,
  by: CompiledRoute,
  hostPattern: string | undefined
): string {
  const host = hostOf(table, hostPattern)
  const [method = 'GET'] = route.methods
  const query = route.query.map(
    ({ name, value }) => `${encodeURIComponent(name)}=${encodeURIComponent(value ?? 'x')}`
  )
  const search = query.length === 0 ? '' : `?${query.join('&')}`
  const headers = Object.fromEntries(route.headers.map(({ name, value }) => [name, value ?? 'x']))
  const paths = fillings.map((filling) => pathOf(route.pattern, filling))
  // A filling may be a literal of another route, which would then take the request.
  const path = paths.find((resource) => {
    const winner = match(table, { method, host, resource, query: search, headers, allowed: undefined })
    return winner === by || winner === route
  })
  const url = `http://${host}${path ?? paths[0]}${search}`
  const named = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return named.length === 0 ? `${method} ${url}` : `${method} ${url} with ${named.join(', ')}`
}

/** What parameters and wildcards of an example stand for. */
const fillings = ['x', '1', 'example', 'any-other']

const hostNames = ['example.com', 'example.org', 'any-other.example']

/** A host that a pattern takes; without one, a host that no route names. */
export function hostOf({ hosts, wildcards }: Table, pattern: string | undefined): string {
  if (pattern !== undefined) return pattern.startsWith('*') ? `x${pattern.slice(1)}` : pattern
  const isFree = (name: string): boolean => {
    for (let dot = name.indexOf('.'); dot > 0; dot = name.indexOf('.', dot + 1)) {
      if (wildcards.has(name.slice(dot))) return false
    }
    return !hosts.has(name)
  }
  return hostNames.find(isFree) ?? 'x.invalid'
}

/** A path that a pattern takes. */
export function pathOf(pattern: Pattern, filling: string): string {
  if (pattern.kind === 'regex') return sampleOf(pattern.source)
  const segments = pattern.segments.map((segment) => ('literal' in segment ? segment.literal : filling))
  if (pattern.isOpen) segments.push(filling)
  return `/${segments.join('/')}${pattern.hasSlash && segments.length > 0 ? '/' : ''}`
}

/** The shortest string that a regular expression without look-around matches, near enough for an example. */
function sampleOf(source: string): string {
  let rest = source
  // Groups from the inside out: the first alternative stands for each.
  for (let before = ''; before !== rest; ) {
    before = rest
    rest = rest.replace(/\((?:\?:)?([^()|]*)(?:\|[^()]*)?\)/, '$1')
  }
  const [first = ''] = rest.split('|')
  return first.replace(
    /(\\.|\[\^?(?:\\.|[^\]\\])+\]|[^\\[\]])(\*|\+|\?|\{(\d+)[^}]*\})?\??/g,
    (_, atom: string, repeat: string | undefined, count: string | undefined) => {
      const times = repeat === undefined || repeat === '+' ? 1 : Number(count ?? 0)
      return charOf(atom).repeat(times)
    }
  )
}

function charOf(atom: string): string {
  if (atom === '^' || atom === '$') return ''
  if (atom === '.' || atom === '\\w' || atom.startsWith('[^')) return 'x'
  if (atom === '\\d') return '1'
  if (atom.startsWith('[')) return charOf(/^\[(\\.|.)/.exec(atom)?.[1] ?? 'x')
  return atom.startsWith('\\') ? atom.slice(1) : atom
}
