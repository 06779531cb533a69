import type { LoadedConfig } from '../../config/config.ts'
import { entityTag } from '../../config/entity-tag.ts'
import type { History, Kept } from '../../services/history/history.ts'
import type { Metrics } from '../../services/telemetry/metrics.ts'
import { changesOf } from './changes.ts'
import type { ReloadResult } from './control.ts'

type Recorded = LoadedConfig & {
  readonly value: { readonly admin: { readonly history: { readonly keep: number } } }
}

export interface RecordOptions {
  readonly metrics: Metrics
  readonly history: History
  /** False where another process keeps the history. */
  readonly keepsHistory: boolean
  /** Told of each text that serves from then on. */
  readonly onSettled: (written: string) => void
}

/** Which config serves, and what became of every look at its file. */
export class ReloadRecord<Config extends Recorded> {
  readonly #options: RecordOptions
  #config: Config
  #last: ReloadResult | undefined

  constructor(config: Config, options: RecordOptions) {
    this.#config = config
    this.#options = options
  }

  /** What serves, in the words that are in the file now. */
  get config(): Config {
    return this.#config
  }

  get history(): History {
    return this.#options.history
  }

  get last(): ReloadResult {
    return this.#last!
  }

  /** Notes what serves from here on, in its new words, and what is different in it. */
  settle(
    outcome: 'applied' | 'unchanged',
    loaded: Config,
    { at, ...why }: Pick<Kept, 'at' | 'by' | 'reason'>
  ): ReloadResult {
    const { history, keepsHistory, onSettled } = this.#options
    const { revision, written, value } = loaded
    const serving = this.#config
    const changes = serving === loaded ? [] : changesOf(serving, loaded)
    if (outcome === 'applied' || written !== serving.written) {
      this.#config = loaded
      onSettled(written)
    }
    if (keepsHistory) void history.keep({ revision, at, ...why, changes }, written, value.admin.history.keep)
    return { ...this.note({ outcome, revision, at }), changes, etag: entityTag(loaded) }
  }

  note(result: ReloadResult): ReloadResult {
    this.#last = result
    this.#options.metrics.noteReload(result.outcome)
    return result
  }
}
