import { Type } from '@sinclair/typebox'
import { accessOf, routeAuth } from '../../services/identity/access.ts'
import { missing } from '../../services/identity/challenge.ts'
import { openIdentity } from '../../services/identity/open.ts'
import { type AuthOptions, authSlice } from '../../services/identity/slice.ts'
import { definePlugin } from '../plugin.ts'
import { registerJwt } from './jwt.ts'
import { authenticateStep } from './step.ts'

/**
 * Finds out who is asking, and refuses who may not. A route that does not say `"auth": "none"` needs a valid token, also where the
 * config has no key `auth` and nobody can have one: forgetting a key never opens a route.
 */
export const authenticate = definePlugin({
  key: 'auth',
  slice: Type.Optional(authSlice),
  route: Type.Object({ auth: Type.Optional(routeAuth) }),

  async setup(app, options: AuthOptions | undefined, services) {
    if (options === undefined) {
      app.decorateRequest('userSession', () => undefined)
      return ({ id, auth }) => {
        const { mode, credentials } = accessOf(auth, '')
        if (mode === 'none') return undefined
        app.log.warn(`Route "${id}" is for signed-in users, but the config has no "auth": nobody will pass.`)
        const refuse = (): never => {
          throw missing(credentials)
        }
        return Object.assign(refuse, { explain: refuse })
      }
    }
    const identity = await openIdentity(options, services, (sentence) => app.log.warn(sentence))
    app.decorateRequest('userSession', function () {
      const { principal } = this.exchange
      return principal === undefined ? undefined : identity.sessionData(principal)
    })
    await registerJwt(app, identity, options)
    return ({ auth }) => {
      const access = accessOf(auth, options.audience, options.onStale)
      return access.mode === 'none' ? undefined : authenticateStep(identity, access, options)
    }
  }
})
