import type { Store } from '../../store/store.ts'
import { revocationLasting, revocationLog, revocationSet } from '../sessions/records.ts'
import { type LastingRevocation, toEvent } from './revocation.ts'
import { lasting, publish, settle, standing } from './revocation-log.ts'

/** Rows in one page of the snapshot: a millisecond or two of a Redis that others wait for. */
const pageSize = 5000

/** What the store knows of revocations; `keep` is how many milliseconds an event matters. All reject when the store does not answer. */
export class RevocationRecords {
  readonly #store: Store
  readonly #keep: (event: string) => number

  constructor(store: Store, keep: (event: string) => number) {
    this.#store = store
    this.#keep = keep
  }

  /** Tells every gateway, now and later, of what ends by itself. */
  async publish(events: readonly string[]): Promise<true> {
    const keep = Math.max(...events.map(this.#keep))
    await this.#store.run(publish, [revocationLog, revocationSet], [keep, ...events])
    return true
  }

  /** The same of a client or a key, unless the store knows something newer of it. */
  async settle(revocation: LastingRevocation): Promise<true> {
    const event = toEvent(revocation)
    const [kind, name, stamp = '0', state = '1'] = event.split(' ')
    const args = [this.#keep(event), event, `${kind} ${name}`, stamp, state]
    await this.#store.run(settle, [revocationLog, revocationLasting], args)
    return true
  }

  /** Calls back for each revocation in force, with the milliseconds it still matters. */
  async read(take: (event: string, left: number) => void): Promise<void> {
    for (let offset = 0, isLast = false; !isLast; offset += pageSize) {
      const page = await this.#store.run(standing, [revocationSet], [offset, pageSize])
      isLast = page.isLast
      for (const { event, left } of page.found) take(event, left)
    }
    for (const event of await this.#store.run(lasting, [revocationLasting], []))
      take(event, this.#keep(event))
  }
}
