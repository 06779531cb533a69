import type { Holder } from '../parts.ts'
import type { AccessClaims } from '../tokens/claims.ts'
import type { SessionProvider } from './provider.ts'

const longestPause = 15_000

export interface Seen {
  at: number
  /** The newest generation a token of which was used. */
  generation: number
  /** Whether the store has yet to hear of it. */
  isUnsaved: boolean
  /** Nobody asks for it any more. */
  isForgotten: boolean
}

/**
 * When which session was used last, as this gateway saw it, and with a token of which generation. A request only writes into a map;
 * the store hears of it in a batch, every 15 seconds or four times per idle time, so idle ends are exact to that interval. The
 * parent of a refresh token whose successor is known here to have arrived is replayable elsewhere for no longer than that.
 */
export class Activity {
  readonly #sessions: SessionProvider
  readonly #idle: number
  readonly #now: () => number
  readonly #seen = new Map<string, Seen>()
  #unsaved = new Set<string>()
  readonly #timer: NodeJS.Timeout
  #saving: Promise<void> = Promise.resolve()

  constructor(sessions: SessionProvider, idle: number, now: () => number) {
    this.#sessions = sessions
    this.#idle = idle
    this.#now = now
    this.#timer = setInterval(() => void this.save(), Math.max(50, Math.min(longestPause, idle / 4))).unref()
  }

  /** The session was used, with an access token of this generation; without one by its refresh token. */
  note(sid: string, generation = 0): Seen {
    const seen = this.#find(sid)
    if (generation > seen.generation) seen.generation = generation
    this.#touch(sid, seen)
    return seen
  }

  /** The same by who holds an access token; its claims are looked into but the first time. */
  noteHolder(sid: string, { claims, notes }: Pick<Holder, 'claims' | 'notes'>): void {
    const seen = notes?.seen
    if (seen !== undefined && !seen.isForgotten) {
      this.#touch(sid, seen)
      return
    }
    const found = this.note(sid, (claims as AccessClaims).rg)
    if (notes !== undefined) notes.seen = found
  }

  #touch(sid: string, seen: Seen): void {
    seen.at = this.#now()
    if (seen.isUnsaved) return
    seen.isUnsaved = true
    this.#unsaved.add(sid)
  }

  #find(sid: string): Seen {
    let seen = this.#seen.get(sid)
    if (seen === undefined) {
      seen = { at: 0, generation: 0, isUnsaved: false, isForgotten: false }
      this.#seen.set(sid, seen)
    }
    return seen
  }

  /** True when this gateway saw the session within the idle time. */
  isAwake(sid: string): boolean {
    const seen = this.#seen.get(sid)
    return seen !== undefined && this.#now() - seen.at < this.#idle
  }

  /** The newest generation this gateway has seen a token of. */
  confirmed(sid: string): number {
    return this.#seen.get(sid)?.generation ?? 0
  }

  forget(sid: string): void {
    const seen = this.#seen.get(sid)
    if (seen !== undefined) seen.isForgotten = true
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
    for (const [sid, { at }] of this.#seen) if (now - at >= this.#idle) this.forget(sid)
    const unsaved = this.#unsaved
    if (unsaved.size === 0) return
    this.#unsaved = new Set()
    try {
      await this.#sessions.touch(
        [...unsaved].map((sid) => {
          const seen = this.#seen.get(sid)
          if (seen !== undefined) seen.isUnsaved = false
          return { sid, age: Math.max(0, now - (seen?.at ?? now)), confirmed: seen?.generation ?? 0 }
        })
      )
    } catch {
      for (const sid of unsaved) {
        const seen = this.#seen.get(sid)
        if (seen === undefined) continue
        seen.isUnsaved = true
        this.#unsaved.add(sid)
      }
    }
  }
}
