import type { Sample } from './measure.ts'
import type { Scenario } from './scenarios.ts'

export interface Result {
  readonly scenario: Scenario
  /** Samples by candidate, one a round. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>
}

export interface Miss {
  readonly scenario: string
  readonly rival: string
  readonly ratio: number
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

/** Where ours needs more than the target and `slack` (0.15 for 15 %) on top. */
export function misses(results: readonly Result[], slack: number): readonly Miss[] {
  return results.flatMap((result) =>
    Object.entries(result.scenario.targets).flatMap(([rival, target]) => {
      const found = ratio(result, 'Tollkeeper', rival)
      const isMissed = found !== undefined && found > target * (1 + slack)
      return isMissed ? [{ scenario: result.scenario.id, rival, ratio: found, target }] : []
    })
  )
}

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
export function tableOf(result: Result): string {
  const rows = [...result.samples].map(([name, samples]) => {
    const { cpu, p50, p99, memory, busy } = middle(samples)
    const failed = samples.reduce((sum, { refused, broken }) => sum + refused + broken, 0)
    const over = (rival: string) => ratio(result, name, rival)?.toFixed(2) ?? '-'
    const cells = [cpu.toFixed(1), over('nginx'), over('naive Fastify'), p50.toFixed(2), p99.toFixed(2)]
    return [name, ...cells, memory.toFixed(0), `${(busy * 100).toFixed(0)} %`, String(failed)]
  })
  const { id, title } = result.scenario
  return `### ${id}: ${title}\n\n${lines([[...columns], ...rows])}\n\n${verdicts(result)}\n`
}

function verdicts(result: Result): string {
  return Object.entries(result.scenario.targets)
    .flatMap(([rival, target]) => {
      const found = ratio(result, 'Tollkeeper', rival)
      if (found === undefined) return []
      return [`${found <= target ? 'met' : 'MISSED'}: ${found.toFixed(2)} x ${rival} (target ${target})`]
    })
    .join('  \n')
}

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
