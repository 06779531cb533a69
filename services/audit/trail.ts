import type { Services } from '../services.ts'
import { Audit, type Deed, type DeedFilter } from './audit.ts'

export interface AuditLog {
  warn(facts: object, sentence: string): void
}

/** Notes that wait for the store, at most; the oldest makes room. Each is in the log. */
const mostPending = 1000
/** Milliseconds between attempts to catch up. */
const pause = 5000

/**
 * The audit trail for whoever does something that has to be noted. A store that is away stops nobody: what could not be kept is
 * logged at once and kept later, in order. A note whose fate the store never told may be there twice, and is listed once.
 */
export class AuditTrail {
  readonly #audit: Audit
  readonly #log: AuditLog
  readonly #pause: number
  readonly #pending: Deed[] = []
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(audit: Audit, log: AuditLog, wait = pause) {
    this.#audit = audit
    this.#log = log
    this.#pause = wait
  }

  /** Notes that wait for the store. */
  get pending(): number {
    return this.#pending.length
  }

  /** Resolves once the note is kept, or known to wait. Never rejects. */
  async note(deed: Deed): Promise<void> {
    // Behind those that wait, so that the order stays and nobody waits for a store that is known to be away.
    if (this.#pending.length > 0) return this.#postpone(deed)
    try {
      await this.#audit.note(deed)
    } catch {
      this.#postpone(deed)
    }
  }

  /** Rejects with StoreUnavailable. */
  list(limit: number, filter?: DeedFilter): Promise<readonly Deed[]> {
    return this.#audit.list(limit, filter)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #postpone(deed: Deed): void {
    this.#log.warn({ ...deed }, 'the store does not answer: this goes into the audit trail later')
    this.#pending.push(deed)
    if (this.#pending.length > mostPending) this.#pending.shift()
    this.#later()
  }

  #later(): void {
    if (this.#isClosed || this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      void this.#catchUp().finally(() => {
        this.#timer = undefined
        if (this.#pending.length > 0) this.#later()
      })
    }, this.#pause).unref()
  }

  async #catchUp(): Promise<void> {
    while (this.#pending.length > 0 && !this.#isClosed) {
      const deed = this.#pending[0]!
      try {
        await this.#audit.note(deed)
      } catch {
        return
      }
      // It may have made room meanwhile.
      if (this.#pending[0] === deed) this.#pending.shift()
    }
  }
}

/** One for the whole process: what waits for the store outlives the config that it was done under. */
export const openAudit = ({ store, shared }: Pick<Services, 'store' | 'shared'>, log: AuditLog): AuditTrail =>
  shared(
    'audit',
    () => new AuditTrail(new Audit(store), log),
    (trail) => trail.close()
  )
