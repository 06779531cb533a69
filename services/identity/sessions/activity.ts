import type { Sessions } from './sessions.ts'

const longestPause = 15_000

/**
 * When which session was used last, as this gateway saw it. A request only writes into a map; the store hears of it in a batch,
 * every 15 seconds or four times per idle time, so idle ends are exact to that interval.
 */
export class Activity {
  readonly #sessions: Sessions
  readonly #idle: number
  readonly #now: () => number
  readonly #seen = new Map<string, number>()
  #unsaved = new Set<string>()
  readonly #timer: NodeJS.Timeout
  #saving: Promise<void> = Promise.resolve()

  constructor(sessions: Sessions, idle: number, now: () => number) {
    this.#sessions = sessions
    this.#idle = idle
    this.#now = now
    this.#timer = setInterval(() => void this.save(), Math.max(50, Math.min(longestPause, idle / 4))).unref()
  }

  note(sid: string): void {
    this.#seen.set(sid, this.#now())
    this.#unsaved.add(sid)
  }

  /** True when this gateway saw the session within the idle time. */
  isAwake(sid: string): boolean {
    const seen = this.#seen.get(sid)
    return seen !== undefined && this.#now() - seen < this.#idle
  }

  forget(sid: string): void {
    this.#seen.delete(sid)
    this.#unsaved.delete(sid)
  }

  /** Tells the store. What it could not take it is told the next time. Never rejects. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save())
    return this.#saving
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.save()
  }

  async #save(): Promise<void> {
    const now = this.#now()
    for (const [sid, seen] of this.#seen) if (now - seen >= this.#idle) this.forget(sid)
    const unsaved = this.#unsaved
    if (unsaved.size === 0) return
    this.#unsaved = new Set()
    try {
      await this.#sessions.touch(
        [...unsaved].map((sid) => [sid, Math.max(0, now - (this.#seen.get(sid) ?? now))])
      )
    } catch {
      for (const sid of unsaved) if (this.#seen.has(sid)) this.#unsaved.add(sid)
    }
  }
}
