import type { Sample } from './measure.ts'
import type { Scenario } from './scenarios.ts'

export interface Result {
  readonly scenario: Scenario
  /** Samples by candidate, one a round. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>
}

/** Something that was promised, and what came of it. */
export interface Finding {
  readonly scenario: string
  /** What the number is of, as it is read behind it. */
  readonly what: string
  readonly found: number
  readonly target: number
}

/** The middle of the rounds, field by field. */
export function middle(samples: readonly Sample[]): Sample {
  const names = Object.keys(samples[0]!) as (keyof Sample)[]
  const values = names.map((name) => [name, median(samples.map((sample) => sample[name]))] as const)
  return Object.fromEntries(values) as unknown as Sample
}

/** CPU of ours over that of a rival: the median of the rounds' ratios, since both met the same machine in a round. */
export function ratio({ samples }: Result, name: string, rival: string): number | undefined {
  const [ours, theirs] = [samples.get(name), samples.get(rival)]
  if (ours === undefined || theirs === undefined) return undefined
  return median(ours.slice(0, theirs.length).map(({ cpu }, round) => cpu / theirs[round]!.cpu))
}

/** Everything that a scenario promises and that could be measured in this run. */
export function findings(result: Result, all: readonly Result[]): readonly Finding[] {
  const { scenario, samples } = result
  const ours = samples.get('Tollkeeper')
  if (ours === undefined) return []
  const { memory, p99 = {}, own = {} } = scenario.bounds ?? {}
  const found: [string, number | undefined, number][] = [
    ...entries(scenario.targets).map(
      ([rival, target]) =>
        [`x ${rival}`, ratio(result, 'Tollkeeper', rival), target] as [string, number, number]
    ),
    ...entries(p99).map(
      ([rival, target]) =>
        [`x ${rival}'s p99`, shareOf(samples, rival, (sample) => sample.p99), target] as [
          string,
          number,
          number
        ]
    ),
    ...entries(own).map(
      ([id, target]) =>
        [
          `x our own ${id}`,
          overOwn(
            ours,
            all.find((other) => other.scenario.id === id)
          ),
          target
        ] as [string, number, number]
    ),
    ['MiB resident', memory === undefined ? undefined : middle(ours).memory, memory ?? 0],
    ['failed requests', ours.reduce((sum, { refused, broken }) => sum + refused + broken, 0), 0]
  ]
  return found.flatMap(([what, value, target]) =>
    value === undefined ? [] : [{ scenario: scenario.id, what, found: value, target }]
  )
}

const entries = (targets: Readonly<Record<string, number>>) => Object.entries(targets)

function shareOf(
  samples: Result['samples'],
  rival: string,
  value: (sample: Sample) => number
): number | undefined {
  const theirs = samples.get(rival)
  return theirs && value(middle(samples.get('Tollkeeper')!)) / value(middle(theirs))
}

function overOwn(ours: readonly Sample[], other: Result | undefined): number | undefined {
  const theirs = other?.samples.get('Tollkeeper')
  return theirs && middle(ours).cpu / middle(theirs).cpu
}

/** Where ours needs more than the target and `slack` (0.15 for 15 %) on top. */
export const misses = (results: readonly Result[], slack: number): readonly Finding[] =>
  results
    .flatMap((result) => findings(result, results))
    .filter(({ found, target }) => found > target * (1 + slack))

const columns = [
  '',
  'CPU us/request',
  '/ nginx',
  '/ naive',
  'p50 ms',
  'p99 ms',
  'RSS MiB',
  'busy',
  'failed'
] as const

/** One scenario as a Markdown table, and what became of its targets. */
export function tableOf(result: Result, all: readonly Result[] = [result]): string {
  const rows = [...result.samples].map(([name, samples]) => {
    const { cpu, p50, p99, memory, busy } = middle(samples)
    const failed = samples.reduce((sum, { refused, broken }) => sum + refused + broken, 0)
    const over = (rival: string) => ratio(result, name, rival)?.toFixed(2) ?? '-'
    const cells = [cpu.toFixed(1), over('nginx'), over('naive Fastify'), p50.toFixed(2), p99.toFixed(2)]
    return [name, ...cells, memory.toFixed(0), `${(busy * 100).toFixed(0)} %`, String(failed)]
  })
  const { id, title } = result.scenario
  return `### ${id}: ${title}\n\n${lines([[...columns], ...rows])}\n\n${verdicts(result, all)}\n`
}

const verdicts = (result: Result, all: readonly Result[]): string =>
  findings(result, all)
    .map(({ what, found, target }) => {
      const isWhole = Number.isInteger(target) && target === 0
      return `${found <= target ? 'met' : 'MISSED'}: ${isWhole ? found : found.toFixed(2)} ${what} (target ${target})`
    })
    .join('  \n')

function lines([head = [], ...rows]: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => row[column]!.length)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => pad(cell, widths[column]!, column)).join(' | ')} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

const pad = (cell: string, width: number, column: number): string =>
  column === 0 ? cell.padEnd(width) : cell.padStart(width)

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
