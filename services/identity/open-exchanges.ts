import type { Services } from '../services.ts'
import type { Holder, Refusal } from './parts.ts'

/** Something that lasts and was let in for whom a credential says it is: an answer under way, a WebSocket. */
export interface OpenExchange {
  readonly principal: Holder
  /** Where it is in the list of what is open; -1 while it is not. Written by the list alone. */
  openAt: number
  /** Ends it. May not throw, and may come twice. */
  end(reason: Refusal): void
}

/** Whoever knows which credentials were revoked. */
export interface Watched {
  /** Why a credential that was once good is void now, if it is. */
  find(holder: Holder): Refusal | undefined
  /** Calls back whenever something was revoked; the returned function ends that. */
  onRevoked(listener: () => void): () => void
}

/** Milliseconds in which revocations gather before all that is open is looked through for them. */
const gathering = 20

/** The longest a timer of Node can wait. */
const longestWait = 2 ** 31 - 1

/**
 * What is open in this process on the strength of a credential, whichever config let it in. A revocation ends what it is about.
 *
 * It has no index: adding and removing is all that a request pays, and each time something was revoked everything open is asked
 * the question that every request is asked.
 */
export class OpenExchanges {
  /**
   * Each knows its place, so that it leaves without a search. A Set would do the same, but the tables that it outgrows keep those after
   * them alive until a full collection, with every request that was ever in them.
   */
  readonly #open: OpenExchange[] = []
  readonly #watched = new Set<Watched>()
  readonly #deadlines = new Map<OpenExchange, NodeJS.Timeout>()
  #revokedAt = Number.NEGATIVE_INFINITY
  #gathering: NodeJS.Timeout | undefined

  get count(): number {
    return this.#open.length
  }

  /** Ends from now on whatever is revoked there; the returned function stops that. */
  watch(watched: Watched): () => void {
    const forget = watched.onRevoked(() => {
      this.#revokedAt = performance.now()
      this.#gathering ??= setTimeout(() => this.#look(), gathering)
    })
    this.#watched.add(watched)
    return () => {
      forget()
      this.#watched.delete(watched)
    }
  }

  /**
   * Keeps an exchange until `remove`. Its credential was checked at `since` (performance.now()) or later; what was revoked in
   * between is returned, and then it is not kept.
   */
  add(exchange: OpenExchange, since: number): Refusal | undefined {
    if (since <= this.#revokedAt) {
      const revoked = this.#find(exchange.principal)
      if (revoked !== undefined) return revoked
    }
    exchange.openAt = this.#open.length
    this.#open.push(exchange)
    return undefined
  }

  remove(exchange: OpenExchange): void {
    this.#take(exchange)
    if (this.#deadlines.size === 0) return
    clearTimeout(this.#deadlines.get(exchange))
    this.#deadlines.delete(exchange)
  }

  /** Ends an exchange that was added as soon as its token is over; what is no token has no such time. */
  endWithToken(exchange: OpenExchange): void {
    const { exp } = exchange.principal.claims
    if (typeof exp !== 'number') return
    const left = exp * 1000 - Date.now()
    if (left <= 0) {
      this.#deadlines.delete(exchange)
      exchange.end('claims.exp')
      return
    }
    const timer = setTimeout(() => this.endWithToken(exchange), Math.min(left, longestWait)).unref()
    this.#deadlines.set(exchange, timer)
  }

  /** Ends what was let in by a token that is over by now, and would else live on. */
  endExpired(): void {
    const now = Date.now()
    for (const exchange of [...this.#open]) {
      const { exp } = exchange.principal.claims
      if (typeof exp === 'number' && exp * 1000 <= now) exchange.end('claims.exp')
    }
  }

  close(): void {
    clearTimeout(this.#gathering)
    for (const timer of this.#deadlines.values()) clearTimeout(timer)
  }

  #take(exchange: OpenExchange): void {
    const at = exchange.openAt
    if (at < 0) return
    exchange.openAt = -1
    const last = this.#open.pop()!
    if (last === exchange) return
    last.openAt = at
    this.#open[at] = last
  }

  #look(): void {
    this.#gathering = undefined
    for (const exchange of [...this.#open]) {
      const revoked = this.#find(exchange.principal)
      if (revoked !== undefined) exchange.end(revoked)
    }
  }

  #find(principal: Holder): Refusal | undefined {
    for (const watched of this.#watched) {
      const revoked = watched.find(principal)
      if (revoked !== undefined) return revoked
    }
    return undefined
  }
}

/** What is open in this process. It belongs to no config, as a WebSocket does not. */
export const openExchangesOf = (services: Pick<Services, 'shared'>): OpenExchanges =>
  services.shared(
    'open-exchanges',
    () => new OpenExchanges(),
    (open) => open.close()
  )
