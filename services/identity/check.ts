import type { Check, Report } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { toMilliseconds } from '../../config/units.ts'
import type { AuthOptions } from './slice.ts'

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
export const identityOptions: Check = ({ auth }: { readonly auth?: AuthOptions }, report: Report) => {
  if (auth === undefined) return
  for (const key of ['access', 'refresh', 'idle', 'maxStaleness'] as const) {
    if (toMilliseconds(auth[key]) < 1000)
      report.error(pointerOf('auth', key), `auth.${key} has to be 1s or more`)
  }
  const used = new Map<string, string>()
  for (const [key, name] of Object.entries(auth.headers)) {
    const plain = name.toLowerCase().replace(/[_.]/g, '-')
    const other = used.get(plain)
    const at = pointerOf('auth', 'headers', key)
    if (taken.has(plain)) report.error(at, `the header "${name}" is about the message, not about a user`)
    if (other !== undefined) report.error(at, `the header "${name}" tells auth.headers.${other} already`)
    used.set(plain, key)
  }
}
