import { closeSync, existsSync, mkdirSync, openSync, readSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { open } from 'lmdb'
import { StoreUnavailable } from '../../errors.ts'
import { type EmbeddedFollower, followEmbedded } from './embedded-log.ts'
import { EmbeddedTransaction, type Tables } from './embedded-transaction.ts'
import { type LogFollower, type LogListener, type Operation, type Store, StoreOpenError } from './store.ts'

const sweepAtMost = 500
const sweepBatches = 100
const writeWithinMs = 5000

/**
 * Opens the store of one machine: LMDB in `directory`, shared by every process that opens it.
 *
 * What was acknowledged survives kill -9 of any of them. After a power cut the file is intact, but the last moments before it may
 * be missing: commits are flushed to disk behind the answer, not before it.
 */
export function openEmbedded(directory: string, { sweepEveryMs = 5000 } = {}): Store {
  return new EmbeddedStore(openTables(directory), sweepEveryMs)
}

function openTables(directory: string): Tables {
  try {
    makeDirectory(directory)
    refuseForeignFile(join(directory, 'data.mdb'))
    // The files too: a directory that was there before keeps its mode, and sessions are nobody else's to read.
    const files = { permissionsMode: 0o600 }
    const root = open({ path: directory, maxDbs: 3, noSubdir: false, ...files })
    return {
      root,
      entries: root.openDB('entries', {}),
      expiries: root.openDB('expiries', {}),
      logs: root.openDB('logs', {})
    }
  } catch (cause) {
    throw new StoreOpenError(
      `The store directory ${directory} cannot be opened (${reasonOf(cause)}); make it writable for this user or set store.path to another one.`,
      { cause }
    )
  }
}

/** Not `recursive`: below /proc Node never comes back from that. */
function makeDirectory(path: string): void {
  if (!existsSync(dirname(path))) makeDirectory(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error
  }
}

/** LMDB brings the process down over a file that is not its own, so its magic number (in the first page, behind 24 bytes) is looked at first. */
function refuseForeignFile(path: string): void {
  if (!existsSync(path)) return
  const head = Buffer.alloc(28)
  const file = openSync(path, 'r')
  const length = readSync(file, head)
  closeSync(file)
  if (length > 0 && (length < 28 || head.readUInt32LE(24) !== 0xbeefc0de)) throw new Error('not an LMDB file')
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  ENOENT: 'nothing can be made there',
  EPERM: 'permission denied',
  EEXIST: 'it is a file',
  ENOTDIR: 'a part of the path is a file',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full'
}

function reasonOf(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return reasons[code] ?? 'it holds no usable LMDB file'
}

class EmbeddedStore implements Store {
  readonly driver = 'embedded'
  readonly isWhole = true
  readonly #tables: Tables
  readonly #transaction: EmbeddedTransaction
  readonly #followers = new Set<EmbeddedFollower>()
  readonly #sweeper: NodeJS.Timeout
  #sweeping: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(tables: Tables, sweepEveryMs: number) {
    this.#tables = tables
    this.#transaction = new EmbeddedTransaction(tables)
    this.#sweeper = setInterval(() => {
      this.#sweeping ??= this.#sweep().finally(() => {
        this.#sweeping = undefined
      })
    }, sweepEveryMs).unref()
  }

  get(key: string): Promise<string | undefined> {
    return this.#read(() => {
      const value = this.#transaction.peek(key)
      return value === undefined ? undefined : String(value)
    })
  }

  set(key: string, value: string, ttl?: number): Promise<void> {
    return this.#write((tx) => tx.put(key, value, ttl))
  }

  delete(key: string): Promise<boolean> {
    return this.#write((tx) => {
      const found = tx.get(key) !== undefined
      tx.remove(key)
      return found
    })
  }

  async run<Result>(
    operation: Operation<Result>,
    keys: readonly string[],
    args: readonly (string | number)[]
  ): Promise<Result> {
    return operation.decode(await this.#write((tx) => operation.transact(tx, keys, args) ?? null))
  }

  follow(log: string, listener: LogListener): Promise<LogFollower> {
    return this.#read(() => {
      const follower = followEmbedded(this.#tables, log, listener, () => this.#followers.delete(follower))
      this.#followers.add(follower)
      return follower
    })
  }

  ping(): Promise<void> {
    return this.#read(() => {
      this.#tables.logs.get(['ping'])
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    clearInterval(this.#sweeper)
    await Promise.all([...this.#followers].map((follower) => follower.close()))
    // Its files must not be closed under a sweep.
    await this.#sweeping
    await this.#tables.root.close()
  }

  async #read<Value>(read: () => Value): Promise<Value> {
    if (this.#closing) throw unavailable(new Error('The store is closed.'))
    try {
      // Without this a read may be answered from a snapshot older than another process's last commit.
      this.#tables.root.resetReadTxn()
      return read()
    } catch (cause) {
      throw unavailable(cause)
    }
  }

  async #write<Value>(write: (tx: EmbeddedTransaction) => Value): Promise<Value> {
    if (this.#closing) throw unavailable(new Error('The store is closed.'))
    let appended = false
    try {
      const value = await bounded(
        this.#tables.root.transaction(() => {
          this.#transaction.begin()
          const result = write(this.#transaction)
          appended = this.#transaction.appended
          return result
        })
      )
      // This process need not wait for its own poll to see what it appended.
      if (appended) for (const follower of this.#followers) follower.poll()
      return value
    } catch (cause) {
      throw unavailable(cause)
    }
  }

  /** In batches, so that other writers get their turn; a failed sweep is repeated by the next one, and until then reads filter. */
  async #sweep(): Promise<void> {
    try {
      for (let batch = 0; batch < sweepBatches; batch += 1) {
        if ((await this.#write((tx) => tx.sweep(sweepAtMost))) < sweepAtMost) return
      }
    } catch {}
  }
}

/** Another process may be stopped in the middle of its transaction, and then all wait for it. */
function bounded<Value>(promise: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('The file is locked by another process.')), writeWithinMs)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

function unavailable(cause: unknown): Error {
  return StoreUnavailable([], { reason: 'store_embedded', headers: { 'retry-after': '1' }, cause })
}
