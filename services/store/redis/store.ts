import { createHash } from 'node:crypto'
import { Command, Redis } from 'ioredis'
import { StoreUnavailable } from '../../../errors.ts'
import type { LogFollower, LogListener, Operation, Store } from '../store.ts'
import { Batch } from './batch.ts'
import { Breaker } from './breaker.ts'
import { isTimeout, type RedisClient, withoutCommand } from './client.ts'
import { type FollowOptions, followStream } from './follow.ts'

/** The store on Redis; `client` is shared with @fastify/redis and belongs to the store. */
export class RedisStore implements Store {
  readonly driver = 'redis'
  readonly isWhole: boolean
  readonly client: RedisClient
  readonly #timeoutMs: number
  readonly #follow: FollowOptions
  readonly #breaker = new Breaker()
  readonly #digests = new WeakMap<Operation<unknown>, string>()
  /** Undefined in a cluster, where each node has a connection. */
  readonly #batch: Batch | undefined
  readonly #followers = new Set<LogFollower>()
  #isClosed = false

  constructor(client: RedisClient, timeoutMs: number, follow: FollowOptions) {
    this.client = client
    this.isWhole = client instanceof Redis
    this.#timeoutMs = timeoutMs
    this.#follow = follow
    this.#batch = client instanceof Redis ? new Batch(client) : undefined
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

  /** On the path of every request with an exact limit: one frame, one command, and its write shared with what else is due. */
  async run<Result>(
    operation: Operation<Result>,
    keys: readonly string[],
    args: readonly (string | number)[]
  ): Promise<Result> {
    this.#admit()
    let raw: unknown
    try {
      this.#batch?.join()
      const sent = this.#send('evalsha', this.#digestOf(operation), keys, args)
      // Inside a cluster there may be redirections, each with the client's own timeout.
      raw = await (this.#batch === undefined ? bounded(sent, this.#timeoutMs * 2) : sent)
    } catch (cause) {
      raw = await this.#sendWhole(cause, operation, keys, args)
    }
    this.#breaker.succeeded()
    return operation.decode(raw)
  }

  /** The whole script, to a server that does not know it (yet, or after a restart); any other failure is one. */
  async #sendWhole(
    cause: unknown,
    { lua }: Operation<unknown>,
    keys: readonly string[],
    args: readonly (string | number)[]
  ): Promise<unknown> {
    if (!isNoScript(cause)) throw this.#failed(cause)
    try {
      return await this.#send('eval', lua, keys, args)
    } catch (second) {
      throw this.#failed(second)
    }
  }

  /** As `client.evalsha` does, without its way of passing hundreds of keys through three lists of arguments. */
  #send(
    name: 'eval' | 'evalsha',
    script: string,
    keys: readonly string[],
    args: readonly (string | number)[]
  ): Promise<unknown> {
    const first: (string | number)[] = [script, keys.length]
    const command = new Command(name, first.concat(keys, args), { replyEncoding: 'utf8' })
    return this.client.sendCommand(command) as Promise<unknown>
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

  #digestOf(operation: Operation<unknown>): string {
    let digest = this.#digests.get(operation)
    if (digest === undefined) {
      digest = createHash('sha1').update(operation.lua).digest('hex')
      this.#digests.set(operation, digest)
    }
    return digest
  }

  async #call<Value>(command: () => Promise<Value>): Promise<Value> {
    this.#admit()
    try {
      const value = await bounded(command(), this.#timeoutMs * 2)
      this.#breaker.succeeded()
      return value
    } catch (cause) {
      throw this.#failed(cause)
    }
  }

  #admit(): void {
    if (!this.#breaker.allows()) throw unavailable(new Error('The store did not answer a moment ago.'))
  }

  #failed(cause: unknown): Error {
    // A server that answers with an error is at least quick; only silence is worth a pause.
    if (isReply(cause)) this.#breaker.succeeded()
    else this.#breaker.failed()
    return unavailable(cause)
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

const isNoScript = (cause: unknown): boolean => cause instanceof Error && cause.message.startsWith('NOSCRIPT')

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
