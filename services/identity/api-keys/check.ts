import type { Check, Report } from '../../../config/mistake.ts'
import { pointerOf } from '../../../config/pointer.ts'
import type { RouteAuth } from '../access.ts'
import type { AuthOptions } from '../slice.ts'

/** Headers that bring something else, or are about the message. */
const taken = new Set([
  'accept',
  'authorization',
  'connection',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'forwarded',
  'host',
  'keep-alive',
  'origin',
  'proxy-authorization',
  'te',
  'traceparent',
  'tracestate',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id'
])

interface Config {
  readonly auth?: AuthOptions
  readonly routes: readonly { readonly id: string; readonly auth?: RouteAuth }[]
}

/** API keys are brought in a header of their own, and routes take them only where there are some. */
export const apiKeyOptions: Check = ({ auth, routes }: Config, report: Report) => {
  const users: number[] = []
  for (const [index, route] of routes.entries()) {
    const credentials = typeof route.auth === 'object' ? route.auth.credentials : []
    const place = credentials.indexOf('api-key')
    if (place === -1) continue
    users.push(index)
    if (auth?.apiKeys !== undefined) continue
    const sentence = `the route "${route.id}" takes API keys, and there are none; add "auth": { "apiKeys": {} }`
    report.error(pointerOf('routes', index, 'auth', 'credentials', place), sentence)
  }
  if (auth?.apiKeys === undefined) return
  const at = pointerOf('auth', 'apiKeys')
  if (users.length === 0)
    report.warning(at, 'no route takes API keys; name "api-key" in its auth.credentials')
  const { header } = auth.apiKeys
  const plain = header.toLowerCase().replace(/[_.]/g, '-')
  const told = [...Object.values(auth.headers), auth.assertion.header].some(
    (name) => name.toLowerCase().replace(/[_.]/g, '-') === plain
  )
  if (taken.has(plain) || plain.startsWith('x-forwarded-') || told) {
    report.error(
      pointerOf('auth', 'apiKeys', 'header'),
      `the header "${header}" is about something else already`
    )
  }
}
