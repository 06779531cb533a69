import { Overloaded } from '../../errors.ts'
import { replaceRecord } from '../store/record.ts'
import type { LogFollower, Store } from '../store/store.ts'
import type { Changes } from './limit.ts'
import type { Numbers } from './slice.ts'

const log = 'toll:{limits}:log'
const record = 'toll:{limits}:changes'

/** Milliseconds an event stays in the log: whoever was away for longer reads everything again. */
const keep = 60 * 60 * 1000
/** Milliseconds until the store is asked again after it did not answer. */
const retryPause = 500
/** How often a change is made anew because another gateway was faster. */
const attempts = 10

interface Stored {
  readonly revision: number
  readonly limits: Readonly<{ [id: string]: Numbers }>
}

const untouched: Stored = { revision: 0, limits: {} }

/**
 * Numbers of limits that were changed while running, as all gateways on one store have them: in the store first, then here. They belong
 * to no config and outlive all of them. While the store is away, what is known goes on.
 */
export class LimitChanges implements Changes {
  version = 0
  #known: Stored = untouched
  readonly #store: Store
  readonly #onForget: () => void
  #follower: LogFollower | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  private constructor(store: Store, onForget: () => void) {
    this.#store = store
    this.#onForget = onForget
  }

  /** `onForget` is called when a count was set back, at whichever gateway. */
  static async open(store: Store, onForget: () => void): Promise<LimitChanges> {
    const changes = new LimitChanges(store, onForget)
    // Before anything is read, so that nothing falls between.
    changes.#follower = await store.follow(log, {
      onEvent: (event) => (event === 'forget' ? onForget() : void changes.#read()),
      onGap: () => void changes.#read()
    })
    await changes.#read()
    return changes
  }

  of(id: string): Numbers | undefined {
    return this.#known.limits[id]
  }

  /** Changes the numbers of a limit everywhere, or takes a change back. Rejects with StoreUnavailable and has changed nothing then. */
  async change(id: string, numbers: Numbers | undefined): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const before = (await this.#store.get(record)) ?? ''
      const stored = parse(before)
      // A store that lost its memory while it was up has less than the gateways know.
      const { revision, limits } = stored.revision < this.#known.revision ? this.#known : stored
      const { [id]: _, ...others } = limits
      const next: Stored = {
        revision: revision + 1,
        limits: numbers === undefined ? others : { ...others, [id]: numbers }
      }
      const args = [keep, before, JSON.stringify(next), 'changed']
      if (!(await this.#store.run(replaceRecord, [log, record], args))) continue
      this.#take(next)
      return
    }
    throw Overloaded([], { reason: 'limits_contended', headers: { 'retry-after': '1' } })
  }

  /** Tells every gateway that a count was set back. Rejects with StoreUnavailable. */
  async forget(): Promise<void> {
    const before = (await this.#store.get(record)) ?? ''
    await this.#store.run(replaceRecord, [log, record], [keep, before, before, 'forget'])
    this.#onForget()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#follower?.close()
  }

  async #read(): Promise<void> {
    clearTimeout(this.#timer)
    try {
      const text = (await this.#store.get(record)) ?? ''
      const stored = parse(text)
      if (stored.revision >= this.#known.revision) this.#take(stored)
      // A restart without its memory: what the gateways know is newer than what the store does.
      else
        await this.#store.run(
          replaceRecord,
          [log, record],
          [keep, text, JSON.stringify(this.#known), 'changed']
        )
    } catch {
      if (!this.#isClosed) this.#timer = setTimeout(() => void this.#read(), retryPause).unref()
    }
  }

  #take(next: Stored): void {
    if (JSON.stringify(next.limits) !== JSON.stringify(this.#known.limits)) {
      this.version += 1
      // What was refused by the old numbers may pass by the new ones.
      this.#onForget()
    }
    this.#known = next
  }
}

function parse(text: string): Stored {
  try {
    const { revision, limits } = JSON.parse(text) as Partial<Stored>
    if (Number.isSafeInteger(revision) && typeof limits === 'object' && limits !== null) {
      return { revision: revision!, limits: limits as Stored['limits'] }
    }
  } catch {}
  return untouched
}
