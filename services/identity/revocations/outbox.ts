import { StoreUnavailable } from '../../../errors.ts'

export type Task = () => Promise<unknown>

/** More than an operator ends in an outage, and little to hold. */
const atMost = 10_000

/**
 * What the store could not be told, in order, until it can. It lives in this process only: whoever put something here has told
 * its caller that it is in force at this gateway alone.
 */
export class Outbox {
  readonly #tasks = new Map<string, Task>()
  #draining: Promise<void> | undefined

  get length(): number {
    return this.#tasks.size
  }

  /** `key` says what the task is about: the same thing waits once. Throws StoreUnavailable when too much waits. */
  put(key: string, task: Task): void {
    if (this.#tasks.size >= atMost && !this.#tasks.has(key)) {
      throw StoreUnavailable([], { reason: 'outbox_full', headers: { 'retry-after': '1' } })
    }
    this.#tasks.set(key, task)
  }

  /** Tells the store what waits; stops at the first it does not take. Never rejects. */
  drain(): Promise<void> {
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined
    })
    return this.#draining
  }

  async #drain(): Promise<void> {
    // What a task puts here itself comes at the end, and its turn in this same round.
    for (const [key, task] of this.#tasks) {
      try {
        await task()
      } catch {
        // The store is still away; the next round tries again.
        return
      }
      if (this.#tasks.get(key) === task) this.#tasks.delete(key)
    }
  }
}
