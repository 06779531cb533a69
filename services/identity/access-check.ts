import type { Check } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { toMilliseconds } from '../../config/units.ts'
import type { RouteAuth } from './access.ts'

interface Config {
  readonly routes: readonly { readonly id: string; readonly auth?: RouteAuth }[]
}

/** What a route asks of a token that it does not look at, and times in which nobody can sign in. */
export const accessOptions: Check = ({ routes }: Config, report) => {
  for (const [index, { id, auth }] of routes.entries()) {
    if (typeof auth !== 'object') continue
    const at = (key: string) => pointerOf('routes', index, 'auth', key)
    for (const key of ['oneTime', 'maxAge', 'assertion'] as const) {
      if (auth.mode !== 'none' || auth[key] === undefined || auth[key] === false) continue
      report.error(at(key), `the route "${id}" looks at no token: "mode" is "none"`)
    }
    if (auth.maxAge !== undefined && toMilliseconds(auth.maxAge) < 1000) {
      report.error(at('maxAge'), 'maxAge has to be 1s or more')
    }
  }
}
