import { extname } from 'node:path'
import { parseJson } from './json.ts'
import type { ConfigMemory } from './memory.ts'
import type { Pace } from './pace.ts'
import { readPieces } from './pieces.ts'
import { Source } from './source.ts'

/** Reads the text of a config file: YAML by its suffix, JSON with comments otherwise. What is wrong with it is in `flaws`. */
export async function readSource(
  file: string,
  text: string,
  pace: Pace,
  memory?: ConfigMemory
): Promise<Source> {
  const plain = text.startsWith('\uFEFF') ? text.slice(1) : text
  const isYaml = ['.yaml', '.yml'].includes(extname(file).toLowerCase())
  // The YAML parser is loaded where it is used: it takes 5 MiB and a while to load.
  const parse = isYaml ? (await import('./yaml.ts')).parseYaml : parseJson
  const pieces = isYaml ? undefined : await readPieces(plain, pace, memory)
  if (pieces !== undefined) return new Source(file, plain, { root: pieces.root, flaws: [] }, pieces)
  try {
    return new Source(file, plain, parse(plain))
  } catch (error) {
    // Both parsers are recursive: a file of ten thousand brackets is refused like any other mistake.
    if (!(error instanceof RangeError)) throw error
    const flaw = { start: 0, end: 1, sentence: 'the file is nested too deeply' }
    return new Source(file, plain, { root: undefined, flaws: [flaw] })
  }
}
