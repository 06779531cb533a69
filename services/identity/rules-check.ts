import type { Check, Report } from '../../config/mistake.ts'
import { nearest } from '../../config/nearest.ts'
import { pointerOf } from '../../config/pointer.ts'
import { type AskedRule, compileRule, inOrder, type Rule } from './rules.ts'

interface Config {
  readonly rules?: readonly Rule[]
  readonly services: Readonly<Record<string, unknown>>
}

/**
 * Rules that never decide: about a service that there is none of, or behind one that is asked first and is about all of it. They are
 * warnings, since services may ask about resources of their own at `/admin/verify`. Whether a scope is misspelt nobody can know.
 */
export const idleRules: Check = ({ rules, services }: Config, report: Report) => {
  if (rules === undefined) return
  const names = Object.keys(services)
  const known = new Set(names.map((name) => name.toLowerCase()))
  const asked = rules.map((rule, index) => ({ ...compileRule(rule), index }))
  for (const { resource, index, id } of asked) {
    const at = pointerOf('rules', index, 'resource')
    const { type, name } = resource
    const meant = type === '*' || type === 'service' ? undefined : nearest(type, ['service'])
    if (meant !== undefined) {
      report.warning(at, `the rule "${id}" is about the type "${type}", which no route is of`, meant)
    } else if (type === 'service' && name !== '*' && !known.has(name)) {
      report.warning(
        at,
        `the rule "${id}" is about "${name}", and there is no such service`,
        nearest(name, names)
      )
    }
  }
  const first = new Map<string, string>()
  for (const rule of inOrder(asked)) {
    const by = wider(rule)
      .map((place) => first.get(place))
      .find((id) => id !== undefined)
    if (by !== undefined) {
      const sentence = `the rule "${rule.id}" never decides: "${by}" is asked first and is about all of it`
      report.warning(pointerOf('rules', rule.index), sentence)
    }
    const { type, name, endpoint } = rule.resource
    const place = placeOf(type, name, endpoint, rule.scope)
    if (!first.has(place)) first.set(place, rule.id)
  }
}

/** Every rule that would be about all that this one is about; few, so that thousands of rules are checked in no time. */
function wider({ scope, resource: { type, name, endpoint } }: AskedRule): readonly string[] {
  const places: string[] = []
  for (const oneType of new Set(['*', type])) {
    for (const oneName of new Set(['*', name])) {
      for (const oneEndpoint of widerEndpoints(endpoint)) {
        for (const oneScope of widerScopes(scope))
          places.push(placeOf(oneType, oneName, oneEndpoint, oneScope))
      }
    }
  }
  return places
}

function widerEndpoints(endpoint: string): ReadonlySet<string> {
  const found = new Set(['*', endpoint])
  let folder = endpoint.endsWith('/*') ? endpoint.slice(0, -2) : endpoint
  while (folder !== '' && folder !== '*') {
    found.add(`${folder}/*`)
    folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))
  }
  if (endpoint.startsWith('/')) found.add('/*')
  return found
}

const widerScopes = (scope: string): ReadonlySet<string> =>
  new Set(scope === '' ? [''] : scope === '+' ? ['', '+'] : ['', '+', '*', scope])

const placeOf = (...parts: readonly string[]): string => parts.join('\n')
