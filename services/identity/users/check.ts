import { isIP } from 'node:net'
import type { Check, Report } from '../../../config/mistake.ts'
import { pointerOf } from '../../../config/pointer.ts'
import { toMilliseconds } from '../../../config/units.ts'
import { type AuthOptions, authSlice } from '../slice.ts'

/** Users of whom nobody could be asked safely, and doors that stand open in the config only. */
export const usersOptions: Check = ({ auth }: { readonly auth?: AuthOptions }, report: Report) => {
  const users = auth?.users
  if (auth !== undefined) {
    for (const key of ['first', 'longest', 'window'] as const) {
      if (toMilliseconds(auth.lockout[key]) >= 1000) continue
      report.error(pointerOf('auth', 'lockout', key), `auth.lockout.${key} has to be 1s or more`)
    }
  }
  if (users?.driver === 'http') {
    const { url, timeout, allowInsecure } = users
    const host = URL.canParse(url) ? new URL(url) : undefined
    const at = (key: string) => pointerOf('auth', 'users', key)
    if (host === undefined) report.error(at('url'), 'auth.users.url is not a URL')
    else if (host.protocol === 'http:' && !isLoopback(host.hostname) && !allowInsecure) {
      report.error(
        at('url'),
        'passwords would go to another machine in the clear; use https, or say "allowInsecure": true'
      )
    }
    if (toMilliseconds(timeout) < 100)
      report.error(at('timeout'), 'auth.users.timeout has to be 100ms or more')
  }
  if (users?.driver !== 'none') return
  const defaults = authSlice.properties.paths.properties
  for (const door of ['login', 'refresh'] as const) {
    const path = auth!.paths[door]
    if (path === defaults[door].default) continue
    report.warning(
      pointerOf('auth', 'paths', door),
      `auth.users.driver is "none", so nobody can sign in here and ${path} answers 404`
    )
  }
}

function isLoopback(hostname: string): boolean {
  if (hostname === 'localhost' || hostname === '[::1]') return true
  return isIP(hostname) === 4 && hostname.startsWith('127.')
}
