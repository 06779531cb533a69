/**
 * Where state shared between gateways lives: sessions, refresh generations, revocations, limits.
 *
 * Two drivers keep this contract, `embedded` (LMDB, shared by the processes of one machine) and `redis`;
 * one test suite runs against both. What must be atomic is an Operation, never a read followed by a write.
 */
export interface Store {
  readonly driver: 'embedded' | 'redis'
  /** Whether one operation may touch any keys together; false in a Redis Cluster. */
  readonly isWhole: boolean
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
   * It resolves once the log's end is remembered, so a snapshot read after that misses nothing; when the store does not
   * answer it resolves all the same, keeps trying, and starts with `onGap`.
   */
  follow(log: string, listener: LogListener): Promise<LogFollower>
  /** Round trip; rejects with StoreUnavailable when the store does not answer in time. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** None of these may throw. */
export interface LogListener {
  /** An event, whoever appended it. */
  onEvent(event: string): void
  /** Everything appended until `at` (milliseconds since the epoch) was delivered; called several times a second. */
  onFresh?(at: number): void
  /** Events may have been lost (restart, failover, trimming): read a snapshot again. Events go on with what is appended from now. */
  onGap?(): void
}

export interface LogFollower {
  close(): Promise<void>
}

/**
 * One atomic operation, written once for each driver: `lua` for Redis (KEYS, ARGV as usual, `redis.call('TIME')` is the clock),
 * `transact` for the embedded store. Both must give the same answer for the same history: the contract suite checks it.
 * Results are strings, integers and (nested) arrays of them, as Lua returns them; `decode` gives them their type.
 *
 * Neither driver rolls back: an operation must not throw after its first write. In a Redis Cluster all keys of one operation,
 * logs included, must share one hash tag. Lua that appends to a log starts with `appendLua` and calls `append(KEYS[n], event, keepMs)`.
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
  /** Whether `limit` keys or more start with `prefix`, those that have expired but are still there included: a cheap way not to read them. */
  mayHave(prefix: string, limit: number): boolean
  /** Appends to a log that `Store.follow` reads; older entries than `keepMs` may be dropped. */
  append(log: string, event: string, keepMs: number): void
}

/**
 * The Lua counterpart of `Transaction.append`: put it in front of an operation's script. It alone knows how a log's event is
 * laid out in a stream. Trimming is approximate, so a follower that lags sees more than `keepMs`, never less.
 */
export const appendLua = `
local function append(log, event, keepMs)
  local clock = redis.call('TIME')
  local oldest = clock[1] * 1000 + math.floor(clock[2] / 1000) - keepMs
  redis.call('XADD', log, 'MINID', '~', string.format('%.0f', oldest), '*', 'event', event)
end
`

/** The store could not be opened. The message is one sentence for the operator: what, where and the way out; no secret. */
export class StoreOpenError extends Error {
  override readonly name = 'StoreOpenError'
}
