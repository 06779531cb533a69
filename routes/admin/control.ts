import type { LoadedConfig } from '../../config/config.ts'

/** What became of one look at the config file. */
export interface ReloadResult {
  readonly outcome: 'applied' | 'unchanged' | 'refused'
  /** The revision that serves now. */
  readonly revision: string
  readonly at: string
  /** Every mistake with its place, when the file was refused. */
  readonly mistakes?: string
}

/** What the admin listener may ask of the gateway it belongs to. */
export interface Control {
  readonly isDraining: boolean
  readonly config: Pick<LoadedConfig, 'revision' | 'redacted'>
  readonly lastReload: ReloadResult
  reload(reason: string): Promise<ReloadResult>
}
