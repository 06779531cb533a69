import type { Check, Report } from '../../../config/mistake.ts'
import { pointerOf } from '../../../config/pointer.ts'
import type { RouteAuth } from '../access.ts'
import type { AuthOptions } from '../slice.ts'
import { isTrustworthy } from './address.ts'

interface Config {
  readonly auth?: AuthOptions
  readonly routes: readonly { readonly id: string; readonly auth?: RouteAuth }[]
}

/** Each issuer is told from every other by its name and its `iss`, its keys come a safe way, and routes name issuers that there are. */
export const issuerOptions: Check = ({ auth, routes }: Config, report: Report) => {
  const issuers = auth?.issuers ?? []
  const names = new Set(['own'])
  const signers = new Set([auth?.issuer])
  const prefixes = new Map<string, string>()
  for (const [index, { name, issuer, jwks, keys, subjectPrefix, allowInsecure }] of issuers.entries()) {
    const at = (key: string) => pointerOf('auth', 'issuers', index, key)
    if (names.has(name)) report.error(at('name'), `there is an issuer "${name}" already`)
    names.add(name)
    if (signers.has(issuer)) report.error(at('issuer'), 'another issuer signs with this "iss" already')
    signers.add(issuer)
    if (subjectPrefix === '') {
      report.warning(
        at('subjectPrefix'),
        `whoever issuer "${name}" names is taken for the user of that name here`
      )
    }
    const other = prefixes.get(subjectPrefix ?? `${name}:`)
    if (other !== undefined) {
      const sentence = `users of issuer "${name}" are taken for those of the same name of issuer "${other}"`
      report.warning(at('subjectPrefix'), sentence)
    }
    prefixes.set(subjectPrefix ?? `${name}:`, name)
    if (keys !== undefined) {
      if (jwks !== undefined)
        report.error(at('keys'), 'the keys come from "jwks" or from this file, not both')
      continue
    }
    const from = jwks ?? issuer
    const which = jwks === undefined ? 'issuer' : 'jwks'
    if (!URL.canParse(from) || !/^https?:/.test(from)) {
      report.error(at(which), 'no keys can be found from it; give a URL, or "jwks", or "keys"')
    } else if (!isTrustworthy(new URL(from), allowInsecure)) {
      report.error(at(which), 'keys come over https, or from this machine; else say "allowInsecure": true')
    }
  }
  for (const [index, { id, auth: access }] of routes.entries()) {
    const wanted = typeof access === 'object' ? (access.issuers ?? []) : []
    for (const [place, name] of wanted.entries()) {
      if (names.has(name)) continue
      const sentence = `the route "${id}" takes tokens of "${name}", and there is no such issuer`
      report.error(pointerOf('routes', index, 'auth', 'issuers', place), sentence)
    }
  }
}
