import { readable, WatchedFile } from '../files/watched-file.ts'
import type { VerifyKey } from '../tokens/jwk.ts'
import { type KeySet, readKeySet } from '../tokens/jwk-set.ts'
import type { IssuerKeys } from '../tokens/verifier.ts'

const pollInterval = 1000

/** The keys of an issuer that somebody keeps in a file here; a broken file changes nothing. */
export class FileKeys implements IssuerKeys {
  readonly #file: WatchedFile<KeySet>
  readonly #timer: NodeJS.Timeout

  private constructor(file: WatchedFile<KeySet>, warn: (sentence: string) => void) {
    this.#file = file
    this.#timer = setInterval(() => {
      const before = file.broken?.message
      void file.refresh().then(() => {
        if (file.broken !== undefined && file.broken.message !== before) {
          warn(`its file of keys cannot be used (${file.broken.message}); those of before stay in force`)
        }
      })
    }, pollInterval).unref()
  }

  static async open(
    path: string,
    algorithms: readonly string[],
    warn: (sentence: string) => void
  ): Promise<FileKeys> {
    try {
      const file = await WatchedFile.open(path, (text) => {
        const set = readKeySet(Buffer.from(text), algorithms)
        if (set.leftOut.length > 0) warn(`not all of its keys can be used (${set.leftOut.join('; ')})`)
        return set
      })
      return new FileKeys(file, warn)
    } catch (error) {
      const { message } = readable(path, error)
      throw new Error(message.startsWith(path) ? message : `${path}: ${message}.`)
    }
  }

  get generation(): object {
    return this.#file.value
  }

  find(kid: string): VerifyKey | undefined {
    return this.#file.value.keys.get(kid)
  }

  missing(): 'kid' {
    return 'kid'
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
