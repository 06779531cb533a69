import type { ConfigError, Mistake } from './mistake.ts'

export interface FrameOptions {
  /** The file as it was read: without it only the line with the sentence is written. */
  readonly text?: string | undefined
  readonly colour?: boolean
}

/** A mistake as people read it: place and sentence, the lines it is about, and what was probably meant. */
export const renderMistake = (mistake: Mistake, options: FrameOptions = {}): string =>
  renderEach([mistake], options)[0]!

/** Each of many mistakes as people read it. */
export function renderEach(
  mistakes: readonly Mistake[],
  { text, colour = false }: FrameOptions = {}
): string[] {
  const lines = mistakes.length === 0 ? undefined : text?.split(/\r\n|\n|\r/)
  return mistakes.map((mistake) => render(mistake, lines, colour))
}

function render(mistake: Mistake, lines: readonly string[] | undefined, colour: boolean): string {
  const { file, line, column, severity, sentence, suggestion } = mistake
  const paint = (code: number, words: string): string => (colour ? `\u001b[${code}m${words}\u001b[0m` : words)
  const rows = [`${file}:${line}:${column}  ${paint(severity === 'error' ? 31 : 33, severity)} ${sentence}`]
  if (lines !== undefined) rows.push(...frameOf(lines, mistake, paint))
  if (suggestion !== undefined) rows.push(`  did you mean "${suggestion}"?`)
  return rows.join('\n')
}

/** Everything that is wrong with a refused config, one mistake under the other. */
export const renderMistakes = ({ mistakes, text }: ConfigError, { colour = false } = {}): string =>
  renderEach(mistakes, { text, colour }).join('\n')

/** How much of a long line is shown: a minified file is one line. */
const width = 120

function frameOf(
  lines: readonly string[],
  { line, column, length }: Mistake,
  paint: (code: number, words: string) => string
): string[] {
  const digits = String(line).length
  const from = column > width - 20 ? column - 40 : 0
  const row = (number: number): string =>
    `  ${String(number).padStart(digits)} | ${(lines[number - 1] ?? '').slice(from, from + width).replaceAll('\t', ' ')}`.trimEnd()
  const rows = line > 1 ? [row(line - 1), row(line)] : [row(line)]
  const carets = '^'.repeat(Math.max(1, Math.min(length, width - (column - 1 - from))))
  rows.push(`  ${' '.repeat(digits)} | ${' '.repeat(column - 1 - from)}${paint(31, carets)}`)
  return rows
}
