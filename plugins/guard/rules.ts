import type { FastifyRequest } from 'fastify'
import { BadRequest, Forbidden, HeadersTooLarge, type Problem } from '../../errors.ts'
import { Patterns } from '../../services/detect/patterns.ts'
import type { AgentRules, HeaderRules, PathRules } from '../../services/detect/slice.ts'

/** What is wrong with a request by the operator's rules; undefined for one that may go on. */
export type Rule = (request: FastifyRequest) => Problem | undefined

interface Rules {
  readonly headers: HeaderRules
  readonly userAgents: AgentRules
  readonly paths: PathRules
}

/** Headers that a service reads once, beside those that framing and the gateway itself look at. */
const single: ReadonlySet<string> = new Set([
  'user-agent',
  'content-type',
  'referer',
  'origin',
  'from',
  'max-forwards'
])

/** The rules that a config has, none for those it has not. */
export function rulesOf({ headers, userAgents, paths }: Rules): readonly Rule[] {
  const rules: Rule[] = []
  if (headers.duplicates || headers.maxValue !== undefined) rules.push(valuesRule(headers))
  for (const name of headers.require) rules.push(requireRule(name))
  for (const { name, match } of headers.forbid) rules.push(forbidRule(name, match))
  if (userAgents.deny.length > 0) rules.push(agentRule(userAgents))
  if (paths.deny.length > 0) rules.push(pathRule(paths))
  return rules
}

function valuesRule({ duplicates, maxValue = Number.POSITIVE_INFINITY }: HeaderRules): Rule {
  return ({ raw: { rawHeaders } }) => {
    let seen: string | undefined
    for (let index = 0; index < rawHeaders.length; index += 2) {
      if (rawHeaders[index + 1]!.length > maxValue) {
        return HeadersTooLarge([], { reason: 'guard_header_size' })
      }
      if (!duplicates || !mayBeSingle(rawHeaders[index]!.length)) continue
      const name = rawHeaders[index]!.toLowerCase()
      if (!single.has(name)) continue
      if (seen?.includes(`|${name}|`) === true) {
        return BadRequest([`The request has two ${name} headers; send one.`], { reason: 'guard_duplicate' })
      }
      seen = `${seen ?? ''}|${name}|`
    }
    return undefined
  }
}

const lengths: ReadonlySet<number> = new Set([...single].map(({ length }) => length))
const mayBeSingle = (length: number): boolean => lengths.has(length)

function requireRule(name: string): Rule {
  const key = name.toLowerCase()
  return ({ headers }) =>
    headers[key] === undefined || headers[key] === ''
      ? BadRequest([`The request has no ${key} header; send one.`], { reason: 'guard_required' })
      : undefined
}

function forbidRule(name: string, match: string | undefined): Rule {
  const key = name.toLowerCase()
  const patterns = match === undefined ? undefined : new Patterns([match])
  return ({ headers }) => {
    const value = headers[key]
    if (value === undefined || (patterns !== undefined && !patterns.test(String(value)))) return undefined
    return BadRequest([`The request may not have this ${key} header.`], { reason: 'guard_forbidden' })
  }
}

function agentRule({ allow, deny }: AgentRules): Rule {
  const [allowed, denied] = [new Patterns(allow), new Patterns(deny)]
  return ({ headers }) => {
    const agent = headers['user-agent'] ?? ''
    if (!denied.test(agent) || allowed.test(agent)) return undefined
    return Forbidden(['This user agent may not use the gateway.'], { reason: 'guard_agent' })
  }
}

function pathRule({ deny }: PathRules): Rule {
  const denied = new Patterns(deny)
  return ({ exchange }) =>
    denied.test(exchange.resource)
      ? Forbidden(['This path may not be asked for.'], { reason: 'guard_path' })
      : undefined
}
