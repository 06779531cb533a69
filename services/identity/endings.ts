import { isProblem } from '../../errors.ts'
import type { IdentityParts } from './parts.ts'
import { isSessionId } from './sessions/refresh-token.ts'

/**
 * Ends sessions: in the store, where a refresh would look, and in every gateway's list, where a request does. While the store does
 * not answer they end here at once, and there as soon as it does.
 */
export class Endings {
  readonly #parts: IdentityParts

  constructor(parts: IdentityParts) {
    this.#parts = parts
    parts.users?.onChanged((uid, stamp) => void this.#endOutdated(uid, stamp))
  }

  /** Ends one session, its refresh token and its access tokens; `existed` is false when the store knows there was none. */
  async end(sid: string): Promise<{ readonly existed: boolean; readonly propagated: boolean }> {
    if (!isSessionId(sid)) return { existed: false, propagated: true }
    const { sessions, revocations } = this.#parts
    const ended = await revocations.orLater(`end ${sid}`, async () => {
      const { existed } = await sessions.destroy(sid)
      this.#forget([sid])
      return existed
    })
    const propagated = await revocations.add([{ kind: 'session', sid }])
    return { existed: ended?.result ?? true, propagated: ended !== undefined && propagated }
  }

  /** Ends every session of a user and voids every token they have; how many there were, unless the store is yet to say. */
  async endUser(uid: string): Promise<{ readonly ended: number | undefined; readonly propagated: boolean }> {
    const { keys, revocations } = this.#parts
    const userHash = keys.hashUser(uid)
    const ended = await revocations.orLater(`end-user ${userHash}`, () => this.#endUser(uid, userHash))
    if (ended !== undefined) return ended.result
    this.#hold(uid, userHash)
    return { ended: undefined, propagated: false }
  }

  /** Voids the access tokens of a session that the store has ended already. */
  async void(sid: string): Promise<boolean> {
    const propagated = await this.#parts.revocations.add([{ kind: 'session', sid }])
    this.#forget([sid])
    return propagated
  }

  async #endUser(uid: string, userHash: string): Promise<{ ended: number; propagated: boolean }> {
    const { sessions, revocations } = this.#parts
    const { epoch, sessions: ended } = await sessions.kick(userHash, revocations.leastEpoch(userHash))
    const propagated = await revocations.add([
      { kind: 'user', userHash, epoch, uid },
      ...ended.map((sid) => ({ kind: 'session', sid }) as const)
    ])
    revocations.list.release(userHash)
    this.#forget(ended)
    return { ended: ended.length, propagated }
  }

  /** A password was changed or a user removed: sessions from before end now, not when they are refreshed. */
  async #endOutdated(uid: string, stamp = ''): Promise<void> {
    const { keys, sessions, revocations, warn } = this.#parts
    const userHash = keys.hashUser(uid)
    const endThem = async (): Promise<void> => {
      const ended = await sessions.endOutdated(userHash, stamp)
      await revocations.add(ended.map((sid) => ({ kind: 'session', sid })))
      revocations.list.release(userHash)
      this.#forget(ended)
    }
    try {
      const done = await revocations.orLater(`end-outdated ${userHash}`, endThem)
      if (done === undefined) this.#hold(uid, userHash)
    } catch (error) {
      if (!isProblem(error)) throw error
      warn('The store does not answer: sessions of a changed user end at their next refresh, not now.')
    }
  }

  /** Whoever signed in before this second is out here, until the store can be told to end their sessions. */
  #hold(uid: string, userHash: string): void {
    const { revocations, now } = this.#parts
    revocations.list.hold(userHash, { uid, issuedBy: Math.floor(now() / 1000) })
  }

  #forget(ended: readonly string[]): void {
    for (const sid of ended) this.#parts.activity.forget(sid)
  }
}
