import type { SessionProvider } from './provider.ts'

const atLeast = 60_000

/** Has a provider swept once per idle time, and lets go of it in the end. That it fails is told once, until it works again. */
export class Sweep {
  readonly #sessions: SessionProvider
  readonly #warn: (sentence: string) => void
  readonly #timer: NodeJS.Timeout
  #running: Promise<void> | undefined
  #hasFailed = false

  constructor(sessions: SessionProvider, idle: number, warn: (sentence: string) => void) {
    this.#sessions = sessions
    this.#warn = warn
    // Longer than Node can wait it would not wait at all.
    const every = Math.min(Math.max(atLeast, idle), 2 ** 31 - 1)
    this.#timer = setInterval(() => void this.now(), every).unref()
  }

  /** Never rejects. */
  now(): Promise<void> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#running
    await this.#sessions.close?.()
  }

  async #sweep(): Promise<void> {
    try {
      await this.#sessions.gc()
      this.#hasFailed = false
    } catch {
      if (!this.#hasFailed) this.#warn('The sessions could not be swept; it is tried again later.')
      this.#hasFailed = true
    }
  }
}
