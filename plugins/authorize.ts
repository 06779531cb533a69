import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { Forbidden } from '../errors.ts'
import { type Access, accessOf, type RouteAuth } from '../services/identity/access.ts'
import { challenge, missing } from '../services/identity/challenge.ts'
import {
  type Account,
  type AskedRule,
  accessRules,
  type Decide,
  type Exclusion,
  type Look,
  type Rule,
  rulesSlice
} from '../services/identity/rules.ts'
import { definePlugin, type Note, type Principal, type RouteInfo, type Step } from './plugin.ts'

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
      const step: Step = (request) => {
        requireScopes(request.exchange.principal, access)
        if (decide !== undefined) requireRule(request, decide, access)
      }
      return Object.assign(step, {
        explain(request: FastifyRequest, note: Note): void {
          const { principal, resource } = request.exchange
          note({ needs: scopes, has: principal?.scopes ?? [] })
          requireScopes(principal, access)
          if (decide === undefined) return
          const looked: object[] = []
          note({ resource: `service:${route.service}:${resource}`, rules: looked })
          requireRule(request, decide, access, (rule, exclusion) => looked.push(shownRule(rule, exclusion)))
        }
      })
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

function requireRule(
  { exchange }: FastifyRequest,
  decide: Decide,
  { credentials }: Access,
  look?: Look
): void {
  const { principal } = exchange
  const account: Account | undefined = principal && { scopes: principal.scopes, isOwn: principal.isOwn }
  const { allowed, rule } = decide(account, exchange.resource, look)
  if (allowed) return
  if (principal === undefined) throw missing(credentials)
  throw Forbidden(['The access rules do not let you use this.'], {
    reason: rule === undefined ? 'rule' : `rule.${rule}`
  })
}

/** A rule as it was asked, and what came of it. */
const shownRule = ({ id, scope, isGranted, resource, priority }: AskedRule, exclusion?: Exclusion) => ({
  id,
  scope,
  resource: `${resource.type}:${resource.name}:${resource.endpoint}`,
  access: isGranted ? 'granted' : 'denied',
  priority,
  applies: exclusion === undefined,
  because: exclusion === undefined ? 'it is the first that is about this request' : exclusions[exclusion]
})

const exclusions: Readonly<Record<Exclusion, string>> = {
  endpoint: 'it is about another endpoint',
  nobody: 'it is about accounts, and nobody is signed in',
  foreign: 'it is about accounts of this gateway, and another issuer vouches for this one',
  scope: 'the account does not have its scope'
}
