import type { Explanation, StepTaken } from '../routes/admin/explanation.ts'

/** An explanation as lines for people: the verdict first, then what led to it, step by step. */
export function explanationText(explanation: Explanation): string {
  const { path, route, candidates, steps, node, upstream } = explanation
  return [
    ...verdictOf(explanation),
    row('path', path),
    ...(route === undefined
      ? []
      : [
          row(
            'route',
            `${route.id}: ${[route.methods.join(','), route.path].join(' ').trim()} of "${route.service}"`
          )
        ]),
    ...candidateLines(candidates),
    ...steps.flatMap(stepLines),
    ...(node === undefined ? [] : [row('node', nodeText(node))]),
    ...(upstream === undefined ? [] : [row('service', words(upstream))])
  ].join('\n')
}

/** Routes that a request could have been meant for, a line each: `+` the one that gets it, `-` those that do not. */
export const candidateLines = (candidates: Explanation['candidates']): readonly string[] =>
  candidates.map(({ id, path, outcome, why }, index) =>
    row(index === 0 ? 'candidates' : '', `${outcome === 'taken' ? '+' : '-'} ${id} ${path}: ${why}`)
  )

function verdictOf({ allowed, door, status, code, reason, detail }: Explanation): readonly string[] {
  if (door !== undefined) return [row('answered', `by the gateway itself: ${door}`)]
  if (allowed === null) return [row('open', detail ?? '')]
  if (allowed) return [row('allowed', 'the service gets it')]
  return [row('refused', `${status} ${code}, reason ${reason ?? '-'}`), row('', detail ?? '')]
}

/** Rules, and whatever else is a list of things, get a line each. */
function stepLines({ step, outcome, facts }: StepTaken): readonly string[] {
  const lists = Object.entries(facts).filter(([, value]) => isListOfThings(value))
  const plain = Object.fromEntries(Object.entries(facts).filter(([, value]) => !isListOfThings(value)))
  return [
    row(step, `${outcome}${Object.keys(plain).length === 0 ? '' : `: ${words(plain)}`}`),
    ...lists.flatMap(([, value]) => (value as readonly object[]).map((thing) => row('', `- ${words(thing)}`)))
  ]
}

function nodeText({ strategy, next, nodes }: NonNullable<Explanation['node']>): string {
  const isReady = Object.values(nodes).includes('ready')
  return `${next ?? (isReady ? 'one of them, by chance' : 'nobody')} by ${strategy}: ${words(nodes)}`
}

const isListOfThings = (value: unknown): boolean =>
  Array.isArray(value) && value.some((item) => typeof item === 'object')

const words = (facts: object): string =>
  Object.entries(facts)
    .map(([name, value]) => `${name} ${word(value)}`)
    .join(', ')

const word = (value: unknown): string =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')
    ? `[${value.join(' ')}]`
    : typeof value === 'string'
      ? value
      : JSON.stringify(value)

const row = (name: string, text: string): string => `${name.padEnd(18)}${text}`.trimEnd()
