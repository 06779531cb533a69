import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { writeWhole } from '../../config/write.ts'

/** One text that served, without the text. */
export interface Kept {
  readonly revision: string
  /** ISO 8601: since when. */
  readonly at: string
  /** The subject that put it there, or `file`. */
  readonly by: string
  readonly reason: string
  /** Against the one before, in words, secrets masked. */
  readonly changes: readonly string[]
}

interface Head extends Kept {
  /** Name of the config file: two in one directory have one history each. */
  readonly file: string
}

/** A first line is not longer; it holds what `Kept` says. */
const mostHead = 64 * 1024

/**
 * The last texts of one config file that served, as they were written: references are not replaced. A secret that stands in the file
 * itself stands here too, so directory and files are the owner's alone, as the file should be. One file each: a line of JSON that
 * says what it is, then the text. Where nothing can be written nothing is kept, and `onFlaw` is told once.
 */
export class History {
  readonly #directory: string
  readonly #file: string
  readonly #onFlaw: (error: unknown) => void
  #keeping: Promise<void> = Promise.resolve()
  #last: string | undefined
  #isFlawed = false

  constructor(directory: string, path: string, onFlaw: (error: unknown) => void) {
    this.#directory = directory
    this.#file = basename(path)
    this.#onFlaw = onFlaw
  }

  /** Keeps a text unless it was the last one already, and at most `most` of them. Never rejects. */
  keep(kept: Kept, text: string, most: number): Promise<void> {
    this.#keeping = this.#keeping.then(() =>
      this.#keep(kept, text, most).catch((error: unknown) => {
        if (!this.#isFlawed) this.#onFlaw(error)
        this.#isFlawed = true
      })
    )
    return this.#keeping
  }

  /** The newest first. */
  async list(): Promise<readonly Kept[]> {
    await this.#keeping
    const heads: Kept[] = []
    for (const name of await this.#names()) {
      const found = await this.#headOf(name)
      if (found === undefined) continue
      const { file: _, ...kept } = found
      heads.push(kept)
    }
    return heads
  }

  /** The newest text of a revision. */
  async find(revision: string): Promise<string | undefined> {
    await this.#keeping
    for (const name of await this.#names()) {
      if ((await this.#headOf(name))?.revision === revision) return this.#textOf(name)
    }
    return undefined
  }

  /** Resolves once nothing is being written any more. */
  settled(): Promise<void> {
    return this.#keeping
  }

  async #keep(kept: Kept, text: string, most: number): Promise<void> {
    if (most > 0) {
      this.#last ??= await this.#newest()
      if (this.#last !== kept.revision + text) {
        await mkdir(this.#directory, { recursive: true, mode: 0o700 })
        const head: Head = { ...kept, file: this.#file }
        const name = `${kept.at.replaceAll(/\D/g, '')}-${kept.revision}.config`
        await writeWhole(join(this.#directory, name), `${JSON.stringify(head)}\n${text}`, { mode: 0o600 })
        this.#last = kept.revision + text
      }
    }
    const own: string[] = []
    for (const name of await this.#names()) if ((await this.#headOf(name)) !== undefined) own.push(name)
    for (const name of own.slice(most)) await rm(join(this.#directory, name), { force: true })
  }

  async #newest(): Promise<string | undefined> {
    for (const name of await this.#names()) {
      const head = await this.#headOf(name)
      if (head !== undefined) return head.revision + (await this.#textOf(name))
    }
    return undefined
  }

  /** The newest first; names begin with the time. */
  async #names(): Promise<readonly string[]> {
    try {
      const names = await readdir(this.#directory)
      return names
        .filter((name) => /^\d{17}-[0-9a-f]+\.config$/.test(name))
        .sort()
        .reverse()
    } catch {
      return []
    }
  }

  /** Undefined for one of another config file, or that cannot be read. */
  async #headOf(name: string): Promise<Head | undefined> {
    try {
      const file = await open(join(this.#directory, name), 'r')
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(mostHead), 0, mostHead, 0)
        const [line = ''] = buffer.toString('utf8', 0, bytesRead).split('\n', 1)
        const head = JSON.parse(line) as Head
        return head.file === this.#file ? head : undefined
      } finally {
        await file.close()
      }
    } catch {
      return undefined
    }
  }

  async #textOf(name: string): Promise<string> {
    const whole = await readFile(join(this.#directory, name), 'utf8')
    return whole.slice(whole.indexOf('\n') + 1)
  }
}
