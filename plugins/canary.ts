import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { shareOf } from '../services/release/share.ts'
import { type CanaryOptions, canarySchema } from '../services/release/slice.ts'
import { type Detour, definePlugin, type Note, type RouteInfo, type Step } from './plugin.ts'
import { keyBy } from './request-key.ts'

type CanaryRoute = RouteInfo & { readonly canary?: CanaryOptions }

/** Settles which service a request is for where a route has two; known before the limit of the service counts. */
export const canary = definePlugin({
  key: 'canary',
  route: Type.Object({ canary: Type.Optional(canarySchema) }),

  setup: () => (route: CanaryRoute) => route.canary && canaryStep(route, route.canary)
})

function canaryStep(route: RouteInfo, { service, percent, by, header }: CanaryOptions): Step {
  const stable: Detour = Object.freeze({ service: route.service, side: 'stable', fallback: undefined })
  const next: Detour = Object.freeze({ service, side: 'canary', fallback: undefined })
  const name = header?.toLowerCase()
  const keyOf = by === 'request' ? undefined : keyBy(by)

  const chosen = (request: FastifyRequest): Detour | undefined => {
    if (name === undefined) return undefined
    const wish = request.headers[name]
    if (wish === 'always') return next
    return wish === 'never' ? stable : undefined
  }
  const place = (request: FastifyRequest): number =>
    keyOf === undefined ? Math.random() * 100 : shareOf(service, keyOf(request))

  const decide: Step = (request) => {
    request.exchange.detour = chosen(request) ?? (place(request) < percent ? next : stable)
  }
  return Object.assign(decide, {
    explain(request: FastifyRequest, note: Note): void {
      const { exchange } = request
      const wished = chosen(request)
      if (wished !== undefined) {
        exchange.detour = wished
        note({ side: wished.side, service: wished.service, because: `the header "${name}" says so` })
        return
      }
      // Each request by itself: whoever asks about one gets what most get.
      const at = keyOf === undefined ? 50 : place(request)
      exchange.detour = at < percent ? next : stable
      note({
        side: exchange.detour.side,
        service: exchange.detour.service,
        by,
        percent,
        ...(keyOf !== undefined && { place: Math.round(at * 1000) / 1000 }),
        because:
          keyOf === undefined
            ? `${percent} of 100 requests take the canary, whoever sends them`
            : `the canary has the places below ${percent}`
      })
    }
  })
}
