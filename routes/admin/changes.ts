import type { LoadedConfig } from '../../config/config.ts'
import { diff } from '../../config/diff.ts'
import { differences } from '../../config/differences.ts'

/** Characters of a config above which only the names of what changed are told: to compare every value would take too long. */
const readable = 256 * 1024

/** What another config changes, in words, secrets masked; the first 20. */
export function changesOf(before: LoadedConfig, after: LoadedConfig): readonly string[] {
  if (before.revision === after.revision && before.written === after.written) return []
  const isReadable = before.written.length <= readable && after.written.length <= readable
  const written = isReadable ? differences(before, after).map(({ sentence }) => sentence) : []
  // What a reference stands for may change behind the same words.
  const sentences = written.length > 0 ? written : diff(before.value, after.value)
  return sentences.slice(0, 20).map((sentence) => sentence.slice(0, 300))
}
