import { Overloaded } from '../../errors.ts'
import type { LogFollower, Store } from '../store/store.ts'
import type { Pool } from '../upstream/pool.ts'
import type { NodeOverride } from '../upstream/roster.ts'
import type { Edit } from './edits.ts'
import { type NodeRecord, NodeRecords, nodeLog, type StoredRecord, untouched } from './node-records.ts'
import { Running } from './running.ts'

/** Milliseconds until the store is asked again after it did not answer. */
const retryPause = 250

/** Milliseconds between two words to the other gateways about what a drained node still has here. */
const reportPause = 500

/** Services that are read at once. */
const atOnce = 100

/** How often a change is made anew because another gateway was faster. */
const attempts = 10

/**
 * What was changed about nodes while running, as all gateways on one store have it: a change is in the store first and in the pools then.
 * The store's log says which services to read again. While the store is away, the pools go on with what is known.
 */
export class NodeOverrides {
  readonly #records: NodeRecords
  readonly #pools = new Map<string, Set<Pool>>()
  readonly #known = new Map<string, NodeRecord>()
  /** Services that have to be read. */
  readonly #unread = new Set<string>()
  readonly #running: Running
  /** Nodes of which the others were told that something is running. */
  readonly #busy = new Set<string>()
  readonly #timers: readonly NodeJS.Timeout[]
  #follower: LogFollower | undefined
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false

  private constructor(store: Store) {
    this.#records = new NodeRecords(store)
    this.#running = new Running(store)
    this.#timers = [
      setInterval(() => {
        if (this.#unread.size > 0) void this.#catchUp()
      }, retryPause).unref(),
      setInterval(() => {
        for (const [service, { nodes }] of this.#known) this.#report(service, nodes)
      }, reportPause).unref()
    ]
  }

  /** Follows the log before anything is read, so that nothing falls between. */
  static async open(store: Store): Promise<NodeOverrides> {
    const overrides = new NodeOverrides(store)
    overrides.#follower = await store.follow(nodeLog, {
      onEvent: (service) => overrides.#reread([service]),
      onGap: () => overrides.#reread(overrides.#pools.keys())
    })
    return overrides
  }

  /**
   * Keeps the nodes of these pools as the store has them, until the returned function is called. Resolves once they are for the first
   * time, or the store did not answer.
   */
  async join(pools: Iterable<Pool>): Promise<() => void> {
    const joined = [...pools]
    for (const pool of joined) {
      const held = this.#pools.get(pool.name) ?? new Set()
      this.#pools.set(pool.name, held.add(pool))
      const known = this.#known.get(pool.name)
      if (known === undefined) this.#unread.add(pool.name)
      else pool.apply(known.nodes)
    }
    await this.#catchUp()
    return () => {
      for (const pool of joined) this.#leave(pool)
    }
  }

  /** Changes the nodes of a service everywhere, or nowhere: rejects with what the edit throws, or when the store does not answer. */
  change(service: string, edit: Edit): Promise<void> {
    return this.#inTurn(async () => {
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        const { text, record = untouched } = await this.#records.read(service)
        const known = this.known(service)
        // A store that lost its memory while it was up has less than the gateways know.
        const { revision, nodes } = record.revision < known.revision ? known : record
        const next = { revision: revision + 1, nodes: edit(nodes) }
        if (!(await this.#records.write(service, text, next))) continue
        this.#take(service, next)
        return
      }
      throw Overloaded([], { reason: 'nodes_contended', headers: { 'retry-after': '1' } })
    })
  }

  /**
   * Requests that other gateways have under way at a node that takes no new ones, as far as they have said so; undefined when the store
   * does not answer. `here` are this gateway's.
   */
  elsewhere(service: string, id: string, here: number): Promise<number | undefined> {
    return this.#running.tell(service, id, here).catch(() => undefined)
  }

  /** What is known to be changed, by service. */
  known(service: string): NodeRecord {
    return this.#known.get(service) ?? untouched
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers) clearInterval(timer)
    await this.#follower?.close()
    await this.#last
  }

  #reread(services: Iterable<string>): void {
    for (const service of services) if (this.#pools.has(service)) this.#unread.add(service)
    void this.#catchUp()
  }

  /** Reads what has to be read. What the store does not tell now, it is asked for again. */
  #catchUp(): Promise<void> {
    return this.#inTurn(async () => {
      while (this.#unread.size > 0 && !this.#isClosed) {
        const services = [...this.#unread].slice(0, atOnce)
        for (const service of services) this.#unread.delete(service)
        const isRead = await Promise.all(services.map((service) => this.#read(service)))
        const left = services.filter((_, index) => !isRead[index])
        for (const service of left) this.#unread.add(service)
        if (left.length > 0) return
      }
    })
  }

  /** False when the store did not answer. */
  async #read(service: string): Promise<boolean> {
    try {
      const stored = await this.#records.read(service)
      await this.#compare(service, stored)
      return true
    } catch {
      return false
    }
  }

  async #compare(service: string, { text, record }: StoredRecord): Promise<void> {
    if (record === undefined) return
    const known = this.#known.get(service)
    if (known === undefined || record.revision >= known.revision) this.#take(service, record)
    // A restart without its memory, or a failover to an older copy: what the gateways know is newer than what the store does.
    else await this.#records.write(service, text, known)
  }

  #take(service: string, record: NodeRecord): void {
    // Of several pools of a service all share the nodes, so one is told.
    const [pool] = this.#pools.get(service) ?? []
    if (pool === undefined) return
    this.#known.set(service, record)
    pool.apply(record.nodes)
    this.#report(service, record.nodes)
  }

  /** Tells the others what nodes that take nothing new still have here, and once that it is over. */
  #report(service: string, nodes: readonly NodeOverride[]): void {
    for (const { id, state } of nodes) {
      if (state === undefined || state === 'up') continue
      const [pool] = this.#pools.get(service) ?? []
      const count = pool?.nodes.find((node) => node.id === id)?.inFlight ?? 0
      const key = `${service}/${id}`
      if (count === 0 && !this.#busy.delete(key)) continue
      if (count > 0) this.#busy.add(key)
      void this.elsewhere(service, id, count)
    }
  }

  #leave(pool: Pool): void {
    const held = this.#pools.get(pool.name)
    held?.delete(pool)
    if (held === undefined || held.size > 0) return
    this.#pools.delete(pool.name)
    this.#known.delete(pool.name)
    this.#unread.delete(pool.name)
  }

  /** One after the other, so that nothing older is taken for newer. */
  #inTurn<Result>(task: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(task)
    this.#last = turn.catch(() => {})
    return turn
  }
}
