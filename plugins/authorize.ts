import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { Forbidden, type Problem, Unauthenticated } from '../errors.ts'
import { accessOf, type RouteAuth } from '../services/identity/access.ts'
import { challenge } from '../services/identity/challenge.ts'
import { type Account, accessRules, type Decide, type Rule, rulesSlice } from '../services/identity/rules.ts'
import { definePlugin, type Principal, type RouteInfo } from './plugin.ts'

/** Refuses whom the route's scopes or the access rules do not let pass; who is asking is known by now. */
export const authorize = definePlugin({
  key: 'rules',
  slice: Type.Optional(rulesSlice),

  setup(_app, rules: readonly Rule[] | undefined) {
    return (route) => {
      // `auth` is a key of the route that `authenticate` declares; its scopes are asked here.
      const { mode, scopes } = accessOf((route as RouteInfo & { readonly auth?: RouteAuth }).auth, '')
      if (mode === 'none' || (scopes.length === 0 && rules === undefined)) return undefined
      const decide = rules && accessRules(rules, { type: 'service', name: route.service })
      return (request) => {
        requireScopes(request.exchange.principal, scopes)
        if (decide !== undefined) requireRule(request, decide)
      }
    }
  }
})

function requireScopes(principal: Principal | undefined, scopes: readonly string[]): void {
  if (scopes.length === 0) return
  if (principal === undefined) throw unauthenticated()
  for (const scope of scopes) {
    if (principal.scopes.includes(scope)) continue
    throw Forbidden([`This needs the scope "${scope}".`], {
      reason: 'scope',
      headers: challenge('insufficient_scope', scopes)
    })
  }
}

function requireRule({ exchange }: FastifyRequest, decide: Decide): void {
  const { principal } = exchange
  const account: Account | undefined = principal && { scopes: principal.scopes, isOwn: principal.isOwn }
  const { allowed, rule } = decide(account, exchange.resource)
  if (allowed) return
  if (principal === undefined) throw unauthenticated()
  throw Forbidden(['The access rules do not let you use this.'], {
    reason: rule === undefined ? 'rule' : `rule.${rule}`
  })
}

const unauthenticated = (): Problem =>
  Unauthenticated(['This is for signed-in users; send "Authorization: Bearer <access token>".'], {
    reason: 'missing',
    headers: challenge()
  })
