import { METHODS, validateHeaderValue } from 'node:http'
import type { Check, Report } from '../../config/mistake.ts'
import { nearest } from '../../config/nearest.ts'
import { pointerOf } from '../../config/pointer.ts'
import type { FallbackOptions, RouteRelease } from '../../services/release/slice.ts'

type Routes = readonly (RouteRelease & { readonly id: string; readonly service: string })[]
type Fallbacks = Readonly<Record<string, { readonly fallback?: FallbackOptions }>>

/** A canary, a mirror and a fallback lead to another service than the one they are of, and fallbacks lead somewhere. */
export const releaseOptions: Check = (
  { routes, services }: { readonly routes: Routes; readonly services: Fallbacks },
  report
) => {
  for (const [index, route] of routes.entries()) {
    sameService(index, route, report)
    for (const [place, method] of (route.mirror?.methods ?? []).entries()) {
      if (METHODS.includes(method)) continue
      const at = pointerOf('routes', index, 'mirror', 'methods', place)
      report.error(at, `there is no HTTP method "${method}"`, nearest(method, METHODS))
    }
  }
  for (const [name, { fallback }] of Object.entries(services)) {
    if (fallback === undefined) continue
    oneAnswer(name, fallback, report)
    if (fallback.service === undefined) continue
    const circle = circleFrom(name, services)
    if (circle === undefined) continue
    const sentence =
      circle.length === 1
        ? `the fallback of the service "${name}" is the service itself`
        : `fallbacks lead in a circle: ${[...circle, name].map((one) => `"${one}"`).join(' to ')}`
    report.error(pointerOf('services', name, 'fallback', 'service'), sentence)
  }
}

function sameService(index: number, { service, canary, mirror }: Routes[number], report: Report): void {
  if (canary?.service === service) {
    report.error(
      pointerOf('routes', index, 'canary', 'service'),
      `the canary of "${service}" is the service itself; name another one`
    )
  }
  const answers = [service, canary?.service]
  if (mirror !== undefined && answers.includes(mirror.service)) {
    report.error(
      pointerOf('routes', index, 'mirror', 'service'),
      `the service "${mirror.service}" answers on this route and would get every mirrored request twice; name another one`
    )
  }
}

/** Hop-by-hop and framing headers are the gateway's to write. */
const own = new Set(['connection', 'content-length', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade'])

function oneAnswer(name: string, { service, status, headers, body }: FallbackOptions, report: Report): void {
  const at = (...keys: string[]) => pointerOf('services', name, 'fallback', ...keys)
  if ((service === undefined) === (status === undefined)) {
    report.error(at(), 'a fallback has either "service", or "status" for a fixed answer')
  }
  if (service !== undefined && (body !== '' || Object.keys(headers).length > 0)) {
    report.error(at(), '"headers" and "body" belong to a fixed answer, and the service gives its own')
  }
  for (const [header, value] of Object.entries(headers)) {
    if (own.has(header.toLowerCase())) {
      report.error(at('headers', header), `"${header}" is written by the gateway itself`)
    } else if (!isSendable(header, value)) {
      report.error(at('headers', header), 'the value holds what no header may')
    }
  }
}

function isSendable(name: string, value: string): boolean {
  try {
    validateHeaderValue(name, value)
    return true
  } catch {
    return false
  }
}

/** The services from one back to itself; undefined when its fallbacks end, or lead into a circle that it is no part of. */
function circleFrom(name: string, services: Fallbacks): readonly string[] | undefined {
  const seen = [name]
  for (let next = services[name]?.fallback?.service; next !== undefined; ) {
    if (next === name) return seen
    if (seen.includes(next)) return undefined
    seen.push(next)
    next = services[next]?.fallback?.service
  }
  return undefined
}
