import { createHash } from 'node:crypto'
import { StoreUnavailable } from '../../../errors.ts'
import type { LogFollower, LogListener, Operation, Store } from '../store.ts'
import { Breaker } from './breaker.ts'
import { isTimeout, type RedisClient, withoutCommand } from './client.ts'
import { type FollowOptions, followStream } from './follow.ts'

/** The store on Redis; `client` is shared with @fastify/redis and belongs to the store. */
export class RedisStore implements Store {
  readonly driver = 'redis'
  readonly client: RedisClient
  readonly #timeoutMs: number
  readonly #follow: FollowOptions
  readonly #breaker = new Breaker()
  readonly #digests = new WeakMap<Operation<unknown>, string>()
  readonly #followers = new Set<LogFollower>()
  #isClosed = false

  constructor(client: RedisClient, timeoutMs: number, follow: FollowOptions) {
    this.client = client
    this.#timeoutMs = timeoutMs
    this.#follow = follow
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#call(() => this.client.get(key))) ?? undefined
  }

  async set(key: string, value: string, ttl?: number): Promise<void> {
    await this.#call(() =>
      ttl === undefined ? this.client.set(key, value) : this.client.set(key, value, 'PX', ttl)
    )
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#call(() => this.client.del(key))) === 1
  }

  async run<Result>(
    operation: Operation<Result>,
    keys: readonly string[],
    args: readonly (string | number)[]
  ): Promise<Result> {
    return operation.decode(await this.#call(() => this.#evaluate(operation, keys, args)))
  }

  async follow(log: string, listener: LogListener): Promise<LogFollower> {
    if (this.#isClosed) throw unavailable(new Error('The store is closed.'))
    const follower = await followStream(this.#follow, log, listener)
    const held = {
      close: () => {
        this.#followers.delete(held)
        return follower.close()
      }
    }
    this.#followers.add(held)
    return held
  }

  async ping(): Promise<void> {
    await this.#call(() => this.client.ping())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#followers].map((follower) => follower.close()))
    // Not QUIT: a stalled server would never answer it.
    this.client.disconnect()
  }

  /** Sends the script's digest; the whole script only to a server that does not know it (yet, or after a restart). */
  async #evaluate(
    operation: Operation<unknown>,
    keys: readonly string[],
    args: readonly (string | number)[]
  ): Promise<unknown> {
    let digest = this.#digests.get(operation)
    if (digest === undefined) {
      digest = createHash('sha1').update(operation.lua).digest('hex')
      this.#digests.set(operation, digest)
    }
    try {
      return await this.client.evalsha(digest, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return await this.client.eval(operation.lua, keys.length, ...keys, ...args)
    }
  }

  async #call<Value>(command: () => Promise<Value>): Promise<Value> {
    if (!this.#breaker.allows()) throw unavailable(new Error('The store did not answer a moment ago.'))
    try {
      const value = await bounded(command(), this.#timeoutMs * 2)
      this.#breaker.succeeded()
      return value
    } catch (cause) {
      // A server that answers with an error is at least quick; only silence is worth a pause.
      if (isReply(cause)) this.#breaker.succeeded()
      else this.#breaker.failed()
      throw unavailable(cause)
    }
  }
}

/**
 * Each attempt has the client's own timeout; this bounds the sum where there are several (a script sent again in full, redirections
 * inside a cluster).
 */
function bounded<Value>(promise: Promise<Value>, ms: number): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('Command timed out')), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

const isReply = (cause: unknown): cause is Error => cause instanceof Error && cause.name === 'ReplyError'

function unavailable(cause: unknown): Error {
  return StoreUnavailable([], {
    reason: reasonOf(cause),
    headers: { 'retry-after': '1' },
    cause: withoutCommand(cause)
  })
}

/** `store_loading`, `store_readonly` ... for what the server answered, otherwise whether it was silent or away. */
function reasonOf(cause: unknown): string {
  if (isReply(cause)) return `store_${/^[A-Z]{2,20}/.exec(cause.message)?.[0].toLowerCase() ?? 'refused'}`
  return isTimeout(cause) ? 'store_timeout' : 'store_down'
}
