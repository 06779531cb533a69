import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { Forbidden } from '../errors.ts'
import { type Access, accessOf, type RouteAuth } from '../services/identity/access.ts'
import { challenge, missing } from '../services/identity/challenge.ts'
import { type Account, accessRules, type Decide, type Rule, rulesSlice } from '../services/identity/rules.ts'
import { definePlugin, type Principal, type RouteInfo } from './plugin.ts'

/** Refuses whom the route's scopes or the access rules do not let pass; who is asking is known by now. */
export const authorize = definePlugin({
  key: 'rules',
  slice: Type.Optional(rulesSlice),

  setup(_app, rules: readonly Rule[] | undefined) {
    return (route) => {
      // `auth` is a key of the route that `authenticate` declares; its scopes are asked here.
      const access = accessOf((route as RouteInfo & { readonly auth?: RouteAuth }).auth, '')
      const { mode, scopes } = access
      if (mode === 'none' || (scopes.length === 0 && rules === undefined)) return undefined
      const decide = rules && accessRules(rules, { type: 'service', name: route.service })
      return (request) => {
        requireScopes(request.exchange.principal, access)
        if (decide !== undefined) requireRule(request, decide, access)
      }
    }
  }
})

function requireScopes(principal: Principal | undefined, { scopes, credentials }: Access): void {
  if (scopes.length === 0) return
  if (principal === undefined) throw missing(credentials)
  for (const scope of scopes) {
    if (principal.scopes.includes(scope)) continue
    throw Forbidden([`This needs the scope "${scope}".`], {
      reason: 'scope',
      headers: challenge('insufficient_scope', scopes, [principal.key === undefined ? 'bearer' : 'api-key'])
    })
  }
}

function requireRule({ exchange }: FastifyRequest, decide: Decide, { credentials }: Access): void {
  const { principal } = exchange
  const account: Account | undefined = principal && { scopes: principal.scopes, isOwn: principal.isOwn }
  const { allowed, rule } = decide(account, exchange.resource)
  if (allowed) return
  if (principal === undefined) throw missing(credentials)
  throw Forbidden(['The access rules do not let you use this.'], {
    reason: rule === undefined ? 'rule' : `rule.${rule}`
  })
}
