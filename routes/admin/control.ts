import type { LoadedConfig } from '../../config/config.ts'
import type { Unmasked } from '../../config/unmask.ts'
import type { History } from '../../services/history/history.ts'
import type { Processes } from '../../services/workers/crew.ts'

/** What became of one look at the config file. */
export interface ReloadResult {
  readonly outcome: 'applied' | 'unchanged' | 'refused'
  /** The revision that serves now. */
  readonly revision: string
  readonly at: string
  /** Every mistake with its place, when the file was refused. */
  readonly mistakes?: string
  /** What is different now, in words. */
  readonly changes?: readonly string[]
  /** Names the text that serves now. */
  readonly etag?: string
}

/** A text to become the config file, and how it does: after everything else went well. */
export interface Edit extends Unmasked {
  /** Rejects with a problem when the file cannot be written; then nothing has changed. */
  commit(): Promise<void>
}

/** What somebody asks for who has the file read. Problems thrown here reject the reload. */
export interface Change {
  /** The subject who asks. */
  readonly by?: string
  /** Throws where the config with this entity tag is not the one that is meant. */
  readonly expect?: (entityTag: string) => void
  /** Makes another text of the one that serves. */
  readonly edit?: (serving: LoadedConfig) => Promise<Edit>
}

/** What the admin listener may ask of the gateway it belongs to. */
export interface Control {
  readonly isDraining: boolean
  readonly config: Pick<LoadedConfig, 'revision' | 'redacted' | 'written' | 'path'>
  readonly record: {
    readonly history: Pick<History, 'list' | 'find'>
    readonly last: ReloadResult
  }
  readonly processes: Processes
  /** One at a time. */
  reload(reason: string, change?: Change): Promise<ReloadResult>
}
