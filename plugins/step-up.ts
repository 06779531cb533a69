import type { FastifyRequest } from 'fastify'
import { toMilliseconds } from '../config/units.ts'
import { Unauthenticated } from '../errors.ts'
import { accessOf, type RouteAuth } from '../services/identity/access.ts'
import { challengeOfAge } from '../services/identity/challenge.ts'
import { definePlugin, type Note, type RouteInfo } from './plugin.ts'

/** Seconds that the clock of who signed may be ahead; whoever claims to sign in later than that has said nothing. */
const skew = 5

/** Refuses who signed in too long ago for the route (RFC 9470). A refresh makes nobody younger, a sign-in does. */
export const stepUp = definePlugin({
  key: 'step-up',

  setup() {
    return (route) => {
      const { mode, maxAge } = accessOf((route as RouteInfo & { readonly auth?: RouteAuth }).auth, '')
      if (maxAge === undefined || mode === 'none') return undefined
      const seconds = Math.floor(toMilliseconds(maxAge) / 1000)
      const headers = challengeOfAge(seconds)
      const step = ({ exchange: { principal } }: FastifyRequest): void => {
        if (principal === undefined) return
        const { auth_time: signedIn } = principal.claims
        // Who cannot say when they signed in, as a program with an API key, has not done so lately.
        const age = typeof signedIn === 'number' ? Date.now() / 1000 - signedIn : Number.NaN
        if (age >= -skew && age <= seconds) return
        throw Unauthenticated([`This is for who signed in within the last ${maxAge}; sign in again.`], {
          reason: typeof signedIn === 'number' ? 'auth_time' : 'claims.auth_time',
          headers
        })
      }
      return Object.assign(step, {
        explain(request: FastifyRequest, note: Note): void {
          const signedIn = request.exchange.principal?.claims.auth_time
          note({ longest: seconds, signedIn: signedIn ?? 'unknown', now: Math.floor(Date.now() / 1000) })
          step(request)
        }
      })
    }
  }
})
