import type { Check, Report } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { isPlaintext, isWildcard, originMistake } from './origins.ts'
import type { CorsOptions } from './slice.ts'

interface WithCors {
  readonly cors: CorsOptions
  readonly routes: readonly { readonly cors?: CorsOptions }[]
}

/** Every origin is one that a browser can send and an operator can answer for. */
export const corsOptions: Check = ({ cors, routes }: WithCors, report) => {
  checkCors(cors, pointerOf('cors'), report)
  for (const [index, route] of routes.entries()) {
    if (route.cors !== undefined) checkCors(route.cors, pointerOf('routes', index, 'cors'), report)
  }
}

function checkCors({ origins, credentials, headers, expose }: CorsOptions, at: string, report: Report): void {
  for (const [index, origin] of origins.entries()) {
    const pointer = at + pointerOf('origins', index)
    const mistake = originMistake(origin) ?? (credentials ? credentialMistake(origin) : undefined)
    if (mistake !== undefined) report.error(pointer, mistake)
  }
  for (const [key, names] of Object.entries({ headers, expose })) {
    for (const [index, name] of names.entries()) {
      if (name.includes('*'))
        report.error(at + pointerOf(key, index), 'there is no wildcard; list the headers')
    }
  }
  if (credentials && origins.length === 0) {
    report.error(at + pointerOf('credentials'), 'cookies are for listed origins, and "origins" lists none')
  }
}

function credentialMistake(origin: string): string | undefined {
  if (isWildcard(origin)) {
    return `with "credentials" every host below "${origin}" could act as the user; list the hosts`
  }
  if (isPlaintext(origin)) {
    return `with "credentials" anybody on the way to "${origin}" could act as the user; use https`
  }
  return undefined
}
