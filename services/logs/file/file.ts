import { type FileHandle, mkdir, open, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { toBytes } from '../../../config/units.ts'
import { type Delivery, DeliveryError } from '../delivery.ts'
import type { Line } from '../line-queue.ts'
import type { FileOptions } from '../slice.ts'
import { rotate } from './rotate.ts'

/** Appends lines to a file. Each batch looks whether the file is still the one under its name, so that others may rotate it too. */
export class FileDelivery implements Delivery {
  readonly #path: string
  readonly #maxSize: number
  readonly #keep: number
  #file: FileHandle | undefined
  #size = 0
  /** A part of a line may be at the end of the file. */
  #isTorn = false
  /** A batch that was given up may still be under way: nothing stops a write that hangs. */
  #isBusy = false

  constructor({ path, maxSize, keep }: Pick<FileOptions, 'path' | 'maxSize' | 'keep'>, directory: string) {
    this.#path = resolve(directory, path)
    this.#maxSize = toBytes(maxSize)
    this.#keep = keep
  }

  async deliver(batch: readonly Line[]): Promise<void> {
    if (this.#isBusy) throw new DeliveryError('the disk does not answer')
    this.#isBusy = true
    try {
      await this.#write(batch)
    } finally {
      this.#isBusy = false
    }
  }

  async #write(batch: readonly Line[]): Promise<void> {
    let file = await this.#current()
    const bytes = Buffer.from(batch.map(({ text }) => `${text}\n`).join(''))
    if (this.#maxSize > 0 && this.#size > 0 && this.#size + bytes.length > this.#maxSize) {
      await this.close()
      await rotate(this.#path, { keep: this.#keep, maxSize: this.#maxSize, more: bytes.length })
      file = await this.#current()
    }
    await this.#append(file, bytes)
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  /** The file under the name at this moment. */
  async #current(): Promise<FileHandle> {
    if (this.#file !== undefined) {
      const [ours, there] = await Promise.all([this.#file.stat(), stat(this.#path).catch(() => undefined)])
      if (there?.ino === ours.ino && there.dev === ours.dev) {
        // Whoever copies a log away may cut it to nothing (logrotate's copytruncate).
        this.#size = ours.size
        return this.#file
      }
      await this.close()
    }
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o750 })
    const file = await open(this.#path, 'a', 0o640)
    this.#file = file
    this.#isTorn = false
    this.#size = (await file.stat()).size
    return file
  }

  /** All of it or nothing: a batch that is tried again must not follow a part of itself. */
  async #append(file: FileHandle, bytes: Buffer): Promise<void> {
    const whole = this.#isTorn ? Buffer.concat([Buffer.from('\n'), bytes]) : bytes
    let written = 0
    try {
      while (written < whole.length) {
        const { bytesWritten } = await file.write(whole, written, whole.length - written)
        written += bytesWritten
      }
      this.#isTorn = false
    } catch (error) {
      if (written > 0) await this.#undo(file, written)
      throw error
    } finally {
      this.#size += written
    }
  }

  async #undo(file: FileHandle, written: number): Promise<void> {
    try {
      const { size } = await file.stat()
      // Somebody else writes there as well, and it is not known what is whose.
      if (size !== this.#size + written) throw new Error('the file has grown')
      await file.truncate(this.#size)
      this.#size -= written
    } catch {
      this.#isTorn = true
    }
  }
}
