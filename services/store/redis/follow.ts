import type { LogFollower, LogListener } from '../store.ts'
import type { RedisClient } from './client.ts'

export interface FollowOptions {
  /** Makes a connection of the follower's own: a blocking read would hold up everybody else's commands. */
  connect(): RedisClient
  readonly timeoutMs: number
}

const blockMs = 400
const atMostEvents = 500
const pauseMs = 100
const verifyEveryMs = 2000

/** How long a read of the log may take before the connection counts as dead. */
export const readTimeout = (timeoutMs: number): number => blockMs + timeoutMs

/**
 * Follows a stream: one blocking read after the other, from the last id seen. An answer, also an empty one, is what makes the follower
 * fresh, so a silent stall shows as lag and not only when TCP gives up.
 */
export async function followStream(
  options: FollowOptions,
  log: string,
  listener: LogListener
): Promise<LogFollower> {
  const stream = new StreamFollower(options, log, listener)
  await stream.start(options.timeoutMs)
  return stream
}

class StreamFollower implements LogFollower {
  readonly #client: RedisClient
  readonly #log: string
  readonly #listener: LogListener
  #last: string | undefined
  #server: string | undefined
  #verifiedAt = 0
  #isClosed = false
  /** Whoever called `follow` has gone on without a position, so the snapshot it read may be older than the one found later. */
  #isLate = false
  #wake: (() => void) | undefined
  #done: Promise<void> | undefined

  constructor(options: FollowOptions, log: string, listener: LogListener) {
    this.#log = log
    this.#listener = listener
    this.#client = options.connect()
    // Whatever was read over a connection that broke, the next one has to prove that nothing was lost in between.
    this.#client.on('close', () => {
      this.#verifiedAt = 0
    })
  }

  /** Resolves when the log's end is remembered for the first time, or after `timeoutMs` without. */
  start(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#isLate = true
        resolve()
      }, timeoutMs)
      this.#done = this.#loop(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#wake?.()
    this.#client.disconnect()
    await this.#done
  }

  async #loop(positioned: () => void): Promise<void> {
    // It connects for ever by itself; the first attempt's failure is no more interesting than the others'.
    await this.#client.connect().catch(() => {})
    while (!this.#isClosed) {
      try {
        if (this.#last === undefined || performance.now() - this.#verifiedAt > verifyEveryMs) {
          await this.#verify()
          positioned()
        }
        await this.#read()
      } catch {
        await this.#pause()
      }
    }
  }

  async #read(): Promise<void> {
    const answer = await this.#client.xread(
      'COUNT',
      atMostEvents,
      'BLOCK',
      blockMs,
      'STREAMS',
      this.#log,
      this.#last!
    )
    const events = answer?.[0]?.[1] ?? []
    for (const [id, fields] of events) {
      this.#last = id
      this.#listener.onEvent(fields[1] ?? '')
    }
    // A full answer may have left some behind.
    if (events.length < atMostEvents) this.#listener.onFresh?.(Date.now())
  }

  /** Remembers where the log ends; or, when it did before, makes sure that nothing between there and here was lost. */
  async #verify(): Promise<void> {
    const startedAt = performance.now()
    const [server, end] = [await this.#identity(), await this.#end()]
    const last = this.#last
    if (last === undefined) {
      this.#last = end.last
      if (this.#isLate) this.#listener.onGap?.()
    } else if (server !== this.#server || isBefore(end.last, last) || isBefore(last, end.lastDeleted)) {
      // The log may now be behind what was read (a failover lost its tail): go on from its end, the snapshot has the rest.
      if (isBefore(end.last, last)) this.#last = end.last
      this.#listener.onGap?.()
    }
    this.#server = server
    this.#verifiedAt = startedAt
  }

  /** Changes with a restart or a failover. In a cluster any node may answer, so there the log itself has to tell. */
  async #identity(): Promise<string | undefined> {
    if (this.#client.isCluster) return undefined
    return /^run_id:(\w+)/m.exec(await this.#client.info('server'))?.[1]
  }

  async #end(): Promise<{ last: string; lastDeleted: string }> {
    try {
      const answer = (await this.#client.xinfo('STREAM', this.#log)) as unknown[]
      const about = (name: string): unknown => answer[answer.indexOf(name) + 1]
      const last = String(about('last-generated-id'))
      if (answer.includes('max-deleted-entry-id'))
        return { last, lastDeleted: String(about('max-deleted-entry-id')) }
      // Before Redis 7: only the first entry left tells what may have been trimmed.
      const first = about('first-entry') as [string] | null
      return { last, lastDeleted: before(first?.[0] ?? last) }
    } catch (error) {
      if (error instanceof Error && error.message.includes('no such key'))
        return { last: '0-0', lastDeleted: '0-0' }
      throw error
    }
  }

  async #pause(): Promise<void> {
    if (this.#isClosed) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pauseMs).unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

function isBefore(a: string, b: string): boolean {
  const [aTime = '0', aCount = '0'] = a.split('-')
  const [bTime = '0', bCount = '0'] = b.split('-')
  return aTime === bTime ? Number(aCount) < Number(bCount) : Number(aTime) < Number(bTime)
}

/** An id just before this one. */
function before(id: string): string {
  const [time = '0', count = '0'] = id.split('-')
  return Number(count) > 0 ? `${time}-${Number(count) - 1}` : `${Math.max(0, Number(time) - 1)}-0`
}
