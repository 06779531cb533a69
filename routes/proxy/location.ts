import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { CompiledRoute } from '../table/route.ts'

/**
 * A Location that points at the service, as the client has to spell it. One that points anywhere else, the gateway's public name
 * included, is left alone: whoever wrote it meant it.
 */
export function rewriteLocation(
  location: string,
  { route, node, origin }: { route: CompiledRoute; node: UpstreamNode; origin: string }
): string {
  if (location.startsWith('/') && !location.startsWith('//')) return back(location, route, node)
  const absolute = /^(https?:)?\/\/([^/?#]*)(.*)$/i.exec(location)
  if (absolute === null || absolute[2]!.toLowerCase() !== node.authority.toLowerCase()) return location
  const rest = absolute[3]!
  const path = back(rest.startsWith('/') ? rest : `/${rest}`, route, node)
  return origin === '' ? path : `${origin}${path}`
}

function back(path: string, route: CompiledRoute, node: UpstreamNode): string {
  const { base } = node
  if (base === '') return route.rewrite.back(path)
  if (path !== base && !path.startsWith(`${base}/`) && !path.startsWith(`${base}?`)) return path
  const inner = path.slice(base.length)
  return route.rewrite.back(inner.startsWith('/') ? inner : `/${inner}`)
}
