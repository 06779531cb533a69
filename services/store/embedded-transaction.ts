import type { Database, RootDatabase } from 'lmdb'
import type { Transaction } from './store.ts'

/** Value, when it expires (0: never), and the time under which `expiries` lists it (0: not listed). */
export type Entry = [value: unknown, expiresAt: number, listedAt: number]

/** The LMDB databases of one embedded store. */
export interface Tables {
  readonly root: RootDatabase
  readonly entries: Database<Entry, string>
  /** [time, key], in order of time: what the sweep reads. At most one row per key. */
  readonly expiries: Database<true, [number, string]>
  /** [log] -> last number given out; [log, number] -> [time, event]. */
  readonly logs: Database<number | [number, string], [string] | [string, number]>
}

const trimAtMost = 16

/**
 * What an operation may do inside LMDB's write transaction. One object serves all of a store's transactions, because LMDB runs them
 * one after the other; `begin` starts the next one.
 */
export class EmbeddedTransaction implements Transaction {
  now = 0
  /** Whether a log grew since `begin`. */
  appended = false
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  begin(): void {
    this.now = Date.now()
    this.appended = false
  }

  get<Value>(key: string): Value | undefined {
    const entry = this.#tables.entries.get(key)
    return entry === undefined || isOver(entry, this.now) ? undefined : (entry[0] as Value)
  }

  /** `get` outside of a transaction. */
  peek<Value>(key: string): Value | undefined {
    const entry = this.#tables.entries.get(key)
    return entry === undefined || isOver(entry, Date.now()) ? undefined : (entry[0] as Value)
  }

  put(key: string, value: unknown, ttl?: number): void {
    const { entries, expiries } = this.#tables
    const expiresAt = ttl === undefined ? 0 : this.now + ttl
    const listedAt = entries.get(key)?.[2] ?? 0
    // A key whose expiry moves ahead with every write keeps its row; the sweep finds it not yet over and lists it anew.
    const keepsRow = listedAt !== 0 && expiresAt !== 0 && listedAt <= expiresAt
    if (listedAt !== 0 && !keepsRow) expiries.remove([listedAt, key])
    if (expiresAt !== 0 && !keepsRow) expiries.put([expiresAt, key], true)
    entries.put(key, [value, expiresAt, keepsRow ? listedAt : expiresAt])
  }

  remove(key: string): void {
    const listedAt = this.#tables.entries.get(key)?.[2]
    if (listedAt === undefined) return
    if (listedAt !== 0) this.#tables.expiries.remove([listedAt, key])
    this.#tables.entries.remove(key)
  }

  *range<Value>(prefix: string): Iterable<{ key: string; value: Value }> {
    for (const { key, value } of this.#tables.entries.getRange({ start: prefix })) {
      if (!key.startsWith(prefix)) return
      if (!isOver(value, this.now)) yield { key, value: value[0] as Value }
    }
  }

  mayHave(prefix: string, limit: number): boolean {
    const within = { start: prefix, end: `${prefix}\uffff`, limit }
    return this.#tables.entries.getKeysCount(within) >= limit
  }

  append(log: string, event: string, keepMs: number): void {
    const { logs } = this.#tables
    const number = lastNumber(this.#tables, log) + 1
    logs.put([log, number], [this.now, event])
    logs.put([log], number)
    this.appended = true
    this.#trim(log, number, this.now - keepMs)
  }

  /** Removes what has expired, the oldest first; looks at `limit` keys at most and says at how many it did. */
  sweep(limit: number): number {
    const { entries, expiries } = this.#tables
    const due = [...expiries.getKeys({ start: [0, ''], end: [this.now + 1, ''], limit })]
    for (const [listedAt, key] of due) {
      const entry = entries.get(key)
      expiries.remove([listedAt, key])
      if (entry === undefined || entry[2] !== listedAt) continue
      if (isOver(entry, this.now)) {
        entries.remove(key)
      } else {
        expiries.put([entry[1], key], true)
        entries.put(key, [entry[0], entry[1], entry[1]])
      }
    }
    return due.length
  }

  /** A few at a time, but more than one per append, so that a log never grows for long and no append is slow. */
  #trim(log: string, last: number, oldest: number): void {
    const { logs } = this.#tables
    const rows = [...logs.getRange({ start: [log, 0], end: [log, last], limit: trimAtMost })]
    for (const { key, value } of rows) {
      if ((value as [number, string])[0] >= oldest) return
      logs.remove(key)
    }
  }
}

/** Number of the newest event of a log; 0 when it never had one. */
export function lastNumber(tables: Tables, log: string): number {
  return (tables.logs.get([log]) as number | undefined) ?? 0
}

function isOver(entry: Entry, now: number): boolean {
  return entry[1] !== 0 && entry[1] <= now
}
