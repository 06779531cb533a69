import { readFile, stat } from 'node:fs/promises'

/**
 * A file that is read again when it has changed. What was read last stays in force while the file is broken or gone, so that an
 * editor's half-written save signs nobody out.
 */
export class WatchedFile<Value> {
  readonly #path: string
  readonly #parse: (text: string, mode: number) => Value
  #value: Value
  #version: string
  #broken: Error | undefined
  #reading: Promise<void> | undefined

  private constructor(
    path: string,
    parse: (text: string, mode: number) => Value,
    value: Value,
    version: string
  ) {
    this.#path = path
    this.#parse = parse
    this.#value = value
    this.#version = version
  }

  /** Rejects when the file cannot be read or `parse` throws: at start there is nothing to fall back to. */
  static async open<Value>(
    path: string,
    parse: (text: string, mode: number) => Value
  ): Promise<WatchedFile<Value>> {
    const version = await versionOf(path)
    return new WatchedFile(path, parse, parse(await readFile(path, 'utf8'), version.mode), version.id)
  }

  get value(): Value {
    return this.#value
  }

  /** What is wrong with the file now, if `value` is older than it. */
  get broken(): Error | undefined {
    return this.#broken
  }

  /** Reads the file again if it is another than before. Never rejects; calls at the same time share one look. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(): Promise<void> {
    try {
      const version = await versionOf(this.#path)
      if (version.id === this.#version) return
      this.#version = version.id
      this.#value = this.#parse(await readFile(this.#path, 'utf8'), version.mode)
      this.#broken = undefined
    } catch (error) {
      // What the system would not let us read is looked at again though it has not changed; what was read and is wrong is not.
      if (typeof (error as { code?: unknown }).code === 'string') this.#version = ''
      this.#broken = error as Error
    }
  }
}

export const isMissing = (error: unknown): boolean => (error as { code?: unknown }).code === 'ENOENT'

/** A system's error as a sentence for the operator; ours are that already. */
export function readable(path: string, error: unknown): Error {
  const { code } = error as { code?: unknown }
  return typeof code === 'string'
    ? new Error(`${path} cannot be used (${code}); see that the gateway's user may read and write there.`)
    : (error as Error)
}

async function versionOf(path: string): Promise<{ id: string; mode: number }> {
  const { dev, ino, size, mtimeNs, ctimeNs, mode } = await stat(path, { bigint: true })
  return { id: `${dev}.${ino}.${size}.${mtimeNs}.${ctimeNs}`, mode: Number(mode & 0o777n) }
}
