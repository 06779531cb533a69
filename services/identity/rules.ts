import { type Static, Type } from '@sinclair/typebox'

const closed = { additionalProperties: false } as const
const part = (description: string) => Type.String({ description, minLength: 1, maxLength: 1024 })

/** The key `rules`: who may use what, on top of what a route asks. With the key there, what no rule grants is denied. */
export const rulesSlice = Type.Array(
  Type.Object(
    {
      id: Type.String({ description: 'Names the rule in logs.', pattern: '^[A-Za-z0-9._:-]{1,64}$' }),
      scope: Type.String({
        description:
          'Whom the rule is about: "" everybody, "*" every user of this gateway\'s issuer, "+" every user of any issuer, else users with this scope.',
        default: '',
        pattern: '^[\\x21\\x23-\\x5B\\x5D-\\x7E]{0,128}$'
      }),
      resource: Type.Union(
        [
          Type.String({
            description: 'type:name:endpoint, such as "service:orders:/orders/*"; "*" stands for any.',
            pattern: '^[^:]+:[^:]+:.+$',
            maxLength: 1200
          }),
          Type.Object(
            {
              type: part('Kind of the resource; "service" for what routes lead to, or "*".'),
              name: part('Name of the service, or "*".'),
              endpoint: part('Path; with "/*" at its end all below it as well; or "*".')
            },
            { ...closed, description: 'The same in three parts.' }
          )
        ],
        { description: 'What the rule is about.' }
      ),
      access: Type.Union(
        [
          Type.Literal('granted', { description: 'Lets pass.' }),
          Type.Literal('denied', { description: 'Refuses.' })
        ],
        { description: 'What the rule decides.', default: 'granted' }
      ),
      priority: Type.Integer({
        description: 'Higher ones are asked first; between equals "denied" is.',
        default: 0,
        minimum: -1_000_000,
        maximum: 1_000_000
      })
    },
    closed
  ),
  {
    description: 'Access rules. With this key, what no rule grants is denied wherever `auth` is not "none".',
    maxItems: 10_000
  }
)

export type Rule = Static<typeof rulesSlice>[number]

export interface Resource {
  readonly type: string
  readonly name: string
  readonly endpoint: string
}

export interface Account {
  readonly scopes: readonly string[]
  /** Whether this gateway's issuer vouches for the account; "*" and named scopes are about such accounts only. */
  readonly isOwn: boolean
}

export interface Verdict {
  readonly allowed: boolean
  /** The rule that decided; undefined when none applied. */
  readonly rule: string | undefined
}

/** A rule as it is asked: in three parts, in lower case. */
export interface AskedRule {
  readonly id: string
  readonly scope: string
  readonly isGranted: boolean
  readonly resource: Resource
  readonly priority: number
}

/** Why a rule is not about a request: another endpoint, nobody signed in, another issuer's account, or a scope it lacks. */
export type Exclusion = 'endpoint' | 'nobody' | 'foreign' | 'scope'

/** Told of each rule that is looked at, in order; without an exclusion it is the one that decides. */
export type Look = (rule: AskedRule, exclusion: Exclusion | undefined) => void

/** Decides about one endpoint of a resource, for one account or nobody. */
export type Decide = (account: Account | undefined, endpoint: string, look?: Look) => Verdict

/**
 * Decides by rules: the first that applies, highest priority first, denied before granted; where none applies, no. What can be
 * known of a resource before the request comes (its type and name) is looked at here, once.
 */
export function accessRules(rules: readonly Rule[], { type, name }: Pick<Resource, 'type' | 'name'>): Decide {
  const relevant = inOrder(rules.map(compileRule)).filter(
    ({ resource }) => matches(resource.type, type) && matches(resource.name, name)
  )
  return (account, endpoint, look) => {
    const path = withoutSlash(endpoint.toLowerCase())
    // A service behind a route with `allowEncoded` may read an escaped slash as a slash or not.
    const decoded = path.includes('%') ? withoutSlash(path.replace(escapedSlash, '/')) : path
    for (const rule of relevant) {
      const exclusion = isAbout(rule, path, decoded) ? excluded(rule.scope, account) : 'endpoint'
      look?.(rule, exclusion)
      if (exclusion === undefined) return { allowed: rule.isGranted, rule: rule.id }
    }
    return { allowed: false, rule: undefined }
  }
}

/** The order in which rules are asked; the file's between equals. */
export const inOrder = <Asked extends AskedRule>(rules: readonly Asked[]): readonly Asked[] =>
  rules.toSorted((a, b) => b.priority - a.priority || Number(a.isGranted) - Number(b.isGranted))

export function compileRule({ id, scope, resource, access, priority }: Rule): AskedRule {
  const { type, name, endpoint } = partsOf(resource)
  return {
    id,
    scope,
    isGranted: access === 'granted',
    priority,
    resource: {
      type: type.toLowerCase(),
      name: name.toLowerCase(),
      endpoint: withoutSlash(asCompared(endpoint).toLowerCase())
    }
  }
}

/** The path of a rule in the form in which those of requests come: harmless escapes decoded, and all that is not ASCII escaped. */
const asCompared = (endpoint: string): string =>
  endpoint.startsWith('/')
    ? Buffer.from(endpoint)
        .toString()
        .replace(/[^\0-\x7f]+/g, encodeURIComponent)
        .replace(/%[2-7][0-9a-f]/gi, (triplet) => {
          const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
          return /[%/\\?#;\x7f]/.test(character) ? triplet : character
        })
    : endpoint

/** A slash more or less at its end reaches the same route. */
const withoutSlash = (path: string): string =>
  path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path

/** Slashes and backslashes, escaped once or more often, with the slashes beside them; in lower case. */
const escapedSlash = /\/*(?:%(?:25)*(?:2f|5c)\/*)+/g

/** A resource in three parts; in `type:name:endpoint` the endpoint may hold further colons. */
export function partsOf(text: string | Resource): Resource {
  if (typeof text !== 'string') return text
  const first = text.indexOf(':')
  const second = text.indexOf(':', first + 1)
  return { type: text.slice(0, first), name: text.slice(first + 1, second), endpoint: text.slice(second + 1) }
}

const matches = (wanted: string, actual: string): boolean => wanted === '*' || wanted === actual.toLowerCase()

/** A path of two readings is denied in either, and granted only where it is in both. */
function isAbout({ isGranted, resource: { endpoint } }: AskedRule, path: string, decoded: string): boolean {
  const isAsSent = matchesPath(endpoint, path)
  if (decoded === path || isAsSent !== isGranted) return isAsSent
  return matchesPath(endpoint, decoded)
}

/** "/foo/*" is about /foo/bar, /foo/ and /foo, as it is in micro. */
function matchesPath(wanted: string, actual: string): boolean {
  if (wanted === '*' || wanted === actual) return true
  if (!wanted.endsWith('/*')) return false
  const folder = wanted.slice(0, -2)
  return actual === folder || actual.startsWith(`${folder}/`)
}

function excluded(scope: string, account: Account | undefined): Exclusion | undefined {
  if (scope === '') return undefined
  if (account === undefined) return 'nobody'
  if (scope === '+') return undefined
  if (!account.isOwn) return 'foreign'
  return scope === '*' || account.scopes.includes(scope) ? undefined : 'scope'
}
