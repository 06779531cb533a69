import type { Check, Report } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { toMilliseconds } from '../../config/units.ts'
import type { RouteAuth } from './access.ts'
import type { AuthOptions } from './slice.ts'

interface Checked {
  readonly auth?: AuthOptions
  readonly routes: readonly { readonly auth?: RouteAuth }[]
}

/** Headers that are about the message or the connection; an identity in one of them would break the request. */
const taken = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade'
])

/** Times in which nobody could use what they were given, and headers that cannot tell a service who is asking. */
export const identityOptions: Check = ({ auth, routes }: Checked, report: Report) => {
  for (const [index, { auth: access }] of routes.entries()) {
    const kinds = typeof access === 'object' ? access.credentials : undefined
    if (kinds?.includes('cookie') !== true || auth?.cookie !== undefined) continue
    report.error(
      pointerOf('routes', index, 'auth', 'credentials'),
      'nobody gets a cookie without "auth.cookie"'
    )
  }
  if (auth === undefined) return
  for (const key of ['access', 'refresh', 'idle', 'maxStaleness'] as const) {
    if (toMilliseconds(auth[key]) < 1000)
      report.error(pointerOf('auth', key), `auth.${key} has to be 1s or more`)
  }
  if (auth.cookie !== undefined && auth.unsafeGet) {
    report.error(
      pointerOf('auth', 'unsafeGet'),
      'auth.unsafeGet cannot stand beside auth.cookie: any page could sign out a user by a link'
    )
  }
  const ttl = toMilliseconds(auth.assertion.ttl)
  if (ttl < 1000 || ttl > 600_000) {
    report.error(pointerOf('auth', 'assertion', 'ttl'), 'auth.assertion.ttl has to be between 1s and 10m')
  }
  const used = new Map<string, string>()
  for (const [key, name] of [
    ...Object.entries(auth.headers),
    ['assertion', auth.assertion.header] as const
  ]) {
    const plain = name.toLowerCase().replace(/[_.]/g, '-')
    const other = used.get(plain)
    const at = key === 'assertion' ? pointerOf('auth', key, 'header') : pointerOf('auth', 'headers', key)
    if (taken.has(plain)) report.error(at, `the header "${name}" is about the message, not about a user`)
    if (other !== undefined)
      report.error(
        at,
        `the header "${name}" tells ${other === 'assertion' ? 'auth.assertion' : `auth.headers.${other}`} already`
      )
    used.set(plain, key)
  }
}
