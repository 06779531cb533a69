import { checks as generic } from '../../config/checks.ts'
import { type LoadedConfig, loadConfig } from '../../config/config.ts'
import { type Check, ConfigError, type Mistake } from '../../config/mistake.ts'
import { slices } from './slices.ts'

export type Loaded = LoadedConfig<typeof slices>

interface Given {
  readonly path?: string
  readonly env?: Readonly<Record<string, string>>
  readonly checks?: readonly Check[]
}

/** Loads a text with the test's slices, as if it were in a file. */
export const load = (
  text: string,
  { path = 'gateway.config.json', env = {}, checks = generic }: Given = {}
) => loadConfig({ path, text, slices, env, checks })

/** The refusal of a text; fails when it is not refused. */
export const refusal = (text: string, given: Given = {}): Promise<ConfigError> => refusalOf(load(text, given))

/** The refusal that a load ends with; fails when it ends well. */
export async function refusalOf(loading: Promise<unknown>): Promise<ConfigError> {
  try {
    await loading
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('this was not refused')
}

/** A text without its marks, and the line:column that each mark stood before. */
export function marked(text: string): { readonly text: string; readonly places: readonly string[] } {
  const places: string[] = []
  let plain = ''
  for (const piece of text.split('«')) {
    if (plain !== '' || text.startsWith('«')) places.push(placeAtEnd(plain))
    plain += piece
  }
  return { text: plain, places: text.startsWith('«') ? places.slice(1) : places }
}

function placeAtEnd(text: string): string {
  const lines = text.split('\n')
  return `${lines.length}:${lines.at(-1)!.length + 1}`
}

export const placeOf = ({ line, column }: Mistake): string => `${line}:${column}`
