import type { FastifyRequest } from 'fastify'
import { StoreUnavailable, Unauthenticated } from '../errors.ts'
import { accessOf, type RouteAuth } from '../services/identity/access.ts'
import { challenge } from '../services/identity/challenge.ts'
import { useOnce } from '../services/identity/tokens/one-time.ts'
import { definePlugin, type Principal, type RouteInfo, Untold } from './plugin.ts'

/**
 * Uses up the token of a request on routes that take each only once. It comes last: whom scopes, rules or limits refuse keeps the token
 * for another try.
 */
export const oneTime = definePlugin({
  key: 'one-time',

  setup(_app, _options, { store }) {
    return (route) => {
      const access = accessOf((route as RouteInfo & { readonly auth?: RouteAuth }).auth, '')
      if (!access.oneTime || access.mode === 'none') return undefined
      const { maxBody } = route as RouteInfo & { readonly maxBody?: { readonly bytes: number } }
      const step = async ({ exchange, headers }: FastifyRequest): Promise<void> => {
        // The proxy will refuse it for its size: the token is good for another try.
        if (Number(headers['content-length'] ?? 0) > (maxBody?.bytes ?? Number.POSITIVE_INFINITY)) return
        const token = tokenOf(exchange.principal)
        if (token === undefined) return
        if (!(await useOnce(store, token, Date.now()).catch(unknown))) {
          throw refused('replayed', 'The token was used before; this takes each once.')
        }
      }
      return Object.assign(step, {
        explain({ exchange }: FastifyRequest): void {
          if (tokenOf(exchange.principal) === undefined) return
          throw new Untold('The token would be used up; only doing so tells whether it was before.')
        }
      })
    }
  }
})

/** What is used up; undefined where nobody is signed in. */
function tokenOf(principal: Principal | undefined): ReturnType<typeof markOf> {
  if (principal === undefined) return undefined
  const token = markOf(principal)
  if (token === undefined) throw refused('claims.jti', 'This takes tokens with a "jti" only.')
  return token
}

function markOf({ claims }: Principal) {
  const { iss, jti, exp } = claims
  return typeof iss === 'string' && typeof jti === 'string' && jti !== '' && typeof exp === 'number'
    ? { iss, jti, exp }
    : undefined
}

const refused = (reason: string, sentence: string) =>
  Unauthenticated([sentence], { reason, headers: challenge('invalid_token') })

/** Nobody can tell whether it was used: then it does not pass. */
const unknown = (cause: unknown): never => {
  throw StoreUnavailable([], { reason: 'store', headers: { 'retry-after': '1' }, cause })
}
