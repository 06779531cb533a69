import { createHash } from 'node:crypto'
import { type FSWatcher, type StatsListener, statSync, unwatchFile, watch, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

export interface WatchOptions {
  /** Milliseconds of quiet before the files are read: editors and kubelets write in several steps. */
  readonly debounce?: number
  /** Milliseconds between looks at the files, for changes that no folder tells of. */
  readonly interval?: number
  /** More files a change of which counts, such as those a config names with `${file:}`. */
  readonly files?: readonly string[]
}

export interface ConfigWatch {
  /** From now on watches these files besides the config, in place of the ones before. */
  follow(files: readonly string[]): void
  close(): void
}

/**
 * Calls `onChange` whenever the content of a config file has changed.
 *
 * The folder is watched, not the file: a watch on a file goes deaf when an editor renames a new one into place, or Kubernetes swaps the
 * `..data` link that the file's own link goes through. What counts is the content behind all links: a touch is no change. While a
 * file is missing nothing is told, for half a swap is not a config. `fs.watchFile` looks now and then as well, for folders that
 * cannot be watched, were replaced, or are links themselves. Start it before the config is read, so that no change falls in between.
 */
export function watchConfig(path: string, onChange: () => void, options: WatchOptions = {}): ConfigWatch {
  return new Watch(path, onChange, options)
}

interface Folder {
  readonly watcher: FSWatcher
  readonly identity: string
}

class Watch implements ConfigWatch {
  readonly #path: string
  readonly #onChange: () => void
  readonly #debounce: number
  readonly #interval: number
  readonly #folders = new Map<string, Folder>()
  /** Each file with the hash of what it last held; undefined until it was there once. */
  readonly #files = new Map<string, string | undefined>()
  readonly #onStat: StatsListener = () => this.#later()
  #reading: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #firstSign = 0
  #isClosed = false

  constructor(path: string, onChange: () => void, options: WatchOptions) {
    const { debounce = 100, interval = 2000, files = [] } = options
    this.#path = resolve(path)
    this.#onChange = onChange
    this.#debounce = debounce
    this.#interval = interval
    this.follow(files)
  }

  follow(files: readonly string[]): void {
    if (this.#isClosed) return
    const wanted = new Set([this.#path, ...files.map((file) => resolve(file))])
    for (const file of this.#files.keys()) if (!wanted.has(file)) this.#drop(file)
    const added = [...wanted].filter((file) => !this.#files.has(file))
    for (const file of added) {
      this.#files.set(file, undefined)
      watchFile(file, { interval: this.#interval, persistent: false }, this.#onStat)
    }
    this.#watchFolders()
    this.#queue(async () => {
      for (const file of added) this.#files.set(file, await hashOf(file))
    })
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    for (const file of this.#files.keys()) this.#drop(file)
    for (const { watcher } of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #drop(file: string): void {
    unwatchFile(file, this.#onStat)
    this.#files.delete(file)
  }

  /** A folder that was replaced by another of the same name is watched anew: the old watch hears nothing of it. */
  #watchFolders(): void {
    const wanted = new Set([...this.#files.keys()].map((file) => dirname(file)))
    for (const [path, { watcher, identity }] of this.#folders) {
      if (wanted.has(path) && identityOf(path) === identity) continue
      watcher.close()
      this.#folders.delete(path)
    }
    for (const path of wanted) {
      if (this.#folders.has(path)) continue
      try {
        const identity = identityOf(path)
        const watcher = watch(path, { persistent: false }, () => this.#later())
        watcher.on('error', () => this.#later())
        this.#folders.set(path, { watcher, identity })
      } catch {
        // The folder is gone or may not be watched: the looks of watchFile remain.
      }
    }
  }

  /** Waits for quiet, but not for ever: something else in the folder may never stop writing. */
  #later(): void {
    if (this.#isClosed) return
    const now = performance.now()
    if (this.#timer === undefined) this.#firstSign = now
    else clearTimeout(this.#timer)
    const patience = Math.max(0, this.#firstSign + 10 * this.#debounce - now)
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        this.#watchFolders()
        this.#queue(() => this.#compare())
      },
      Math.min(this.#debounce, patience)
    )
    this.#timer.unref()
  }

  #queue(task: () => Promise<void>): void {
    this.#reading = this.#reading.then(task)
  }

  async #compare(): Promise<void> {
    let isChanged = false
    for (const [file, before] of [...this.#files]) {
      const now = await hashOf(file)
      if (now === undefined || now === before || !this.#files.has(file)) continue
      this.#files.set(file, now)
      isChanged = true
    }
    if (isChanged && !this.#isClosed) this.#onChange()
  }
}

async function hashOf(file: string): Promise<string | undefined> {
  try {
    return createHash('sha256')
      .update(await readFile(file))
      .digest('base64')
  } catch {
    return undefined
  }
}

function identityOf(folder: string): string {
  const { dev, ino } = statSync(folder, { throwIfNoEntry: false }) ?? {}
  return `${dev}:${ino}`
}
