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

interface End {
  readonly last: string
  /** The oldest event left. */
  readonly first: string | undefined
  /** How many were ever appended. */
  readonly added: number | undefined
  readonly length: number
}

class StreamFollower implements LogFollower {
  readonly #client: RedisClient
  readonly #log: string
  readonly #listener: LogListener
  #last: string | undefined
  /** How many events the log ever had up to `#last`; undefined where Redis does not count them. */
  #count: number | undefined
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
      if (this.#count !== undefined) this.#count += 1
      this.#listener.onEvent(fields[1] ?? '')
    }
    // A full answer may have left some behind.
    if (events.length < atMostEvents) this.#listener.onFresh?.(Date.now())
  }

  /** Remembers where the log ends; or, when it did before, makes sure that nothing between there and here was lost. */
  async #verify(): Promise<void> {
    const startedAt = performance.now()
    const [server, end] = [await this.#identity(), await this.#end()]
    const isFirst = this.#last === undefined
    const isGap = isFirst ? this.#isLate : server !== this.#server || this.#hasLost(end)
    if (isFirst || isGap) {
      // Behind a gap it goes on from here: all that came before is in the snapshot its listener reads now.
      this.#last = end.last
      this.#count = end.added
    }
    this.#server = server
    this.#verifiedAt = startedAt
    if (isGap) this.#listener.onGap?.()
  }

  #hasLost({ last, first, added, length }: End): boolean {
    // The log itself went back: it was removed, or a failover lost its tail.
    if (isBefore(last, this.#last!)) return true
    if (added !== undefined && this.#count !== undefined) return added - length > this.#count
    // Redis before 7 keeps no count; there the oldest event left has to be one that was read.
    return last !== this.#last && (first === undefined || isBefore(this.#last!, first))
  }

  /** Changes with a restart or a failover. In a cluster any node may answer, so there the log itself has to tell. */
  async #identity(): Promise<string | undefined> {
    if (this.#client.isCluster) return undefined
    return /^run_id:(\w+)/m.exec(await this.#client.info('server'))?.[1]
  }

  async #end(): Promise<End> {
    try {
      const answer = (await this.#client.xinfo('STREAM', this.#log)) as unknown[]
      const about = (name: string): unknown => answer[answer.indexOf(name) + 1]
      return {
        last: String(about('last-generated-id')),
        first: (about('first-entry') as [string] | null)?.[0],
        added: answer.includes('entries-added') ? Number(about('entries-added')) : undefined,
        length: Number(about('length'))
      }
    } catch (error) {
      if (!(error instanceof Error && error.message.includes('no such key'))) throw error
      return { last: '0-0', first: undefined, added: 0, length: 0 }
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
