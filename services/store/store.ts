/**
 * Where state shared between gateways lives: sessions, refresh generations, revocations, limits.
 *
 * Two drivers keep this contract, `embedded` (LMDB, shared by the processes of one machine) and `redis`;
 * one test suite runs against both. What must be atomic is an Operation, never a read followed by a write.
 */
export interface Store {
  readonly driver: 'embedded' | 'redis'
  get(key: string): Promise<string | undefined>
  /** `ttl` in milliseconds; without it the value stays. */
  set(key: string, value: string, ttl?: number): Promise<void>
  /** True when the key was there. */
  delete(key: string): Promise<boolean>
  /** Runs one atomic operation with the store's own clock. Rejects with StoreUnavailable (errors.ts) within the store's timeout. */
  run<Result>(
    operation: Operation<Result>,
    keys: readonly string[],
    args: readonly (string | number)[]
  ): Promise<Result>
  /**
   * Follows an append-only log (a Redis stream, an LMDB range): every event once, in order, from now on.
   * `onEvent` also gets what was appended by other processes; `onFresh` is called whenever the follower knows it is up to date,
   * `onGap` when events may have been lost (restart, failover, trimming) so that the caller reads a snapshot again.
   */
  follow(log: string, listener: LogListener): Promise<LogFollower>
  /** Round trip; rejects with StoreUnavailable when the store does not answer in time. */
  ping(): Promise<void>
  close(): Promise<void>
}

export interface LogListener {
  onEvent(event: string): void
  onFresh?(at: number): void
  onGap?(): void
}

export interface LogFollower {
  close(): Promise<void>
}

/**
 * One atomic operation, written once for each driver: `lua` for Redis (KEYS, ARGV as usual, `redis.call('TIME')` is the clock),
 * `transact` for the embedded store. Both must give the same answer for the same history: the contract suite checks it.
 * Results are strings, integers and (nested) arrays of them, as Lua returns them; `decode` gives them their type.
 */
export interface Operation<Result> {
  readonly name: string
  readonly lua: string
  transact(tx: Transaction, keys: readonly string[], args: readonly (string | number)[]): unknown
  decode(raw: unknown): Result
}

/** What an embedded operation may do. Values are plain JSON-like data; expired entries read as undefined. */
export interface Transaction {
  /** Milliseconds since the epoch, one value for the whole transaction. */
  readonly now: number
  get<Value>(key: string): Value | undefined
  /** `ttl` in milliseconds; without it the entry stays. */
  put(key: string, value: unknown, ttl?: number): void
  remove(key: string): void
  /** Keys that start with `prefix`, in order, with their live values. */
  range<Value>(prefix: string): Iterable<{ key: string; value: Value }>
  /** Appends to a log that `Store.follow` reads; older entries than `keepMs` may be dropped. */
  append(log: string, event: string, keepMs: number): void
}
