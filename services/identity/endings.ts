import type { IdentityParts } from './parts.ts'
import { isSessionId } from './sessions/refresh-token.ts'

/** Ends sessions: in the store, where a refresh would look, and in every gateway's list, where a request does. */
export class Endings {
  readonly #parts: IdentityParts

  constructor(parts: IdentityParts) {
    this.#parts = parts
    parts.users?.onChanged((uid, stamp) => void this.#endOutdated(uid, stamp))
  }

  /** Ends one session, its refresh token and its access tokens; `existed` is false when there was none. */
  async end(sid: string): Promise<{ readonly existed: boolean; readonly propagated: boolean }> {
    if (!isSessionId(sid)) return { existed: false, propagated: true }
    const { existed, remaining } = await this.#parts.sessions.end(sid)
    return { existed, propagated: await this.void(sid, remaining) }
  }

  /** Ends every session of a user and voids every token they have; how many there were. */
  async endUser(uid: string): Promise<{ readonly ended: number; readonly propagated: boolean }> {
    const { keys, sessions, revocations, activity } = this.#parts
    const userHash = keys.hashUser(uid)
    const { epoch, sessions: ended } = await sessions.endUser(userHash, revocations.leastEpoch(userHash))
    const propagated = await revocations.add([
      { kind: 'user', userHash, epoch },
      ...ended.map((sid) => ({ kind: 'session', sid }) as const)
    ])
    for (const sid of ended) activity.forget(sid)
    await sessions.markOffline(ended.map((sid) => [sid, 0] as const)).catch(() => {})
    return { ended: ended.length, propagated }
  }

  /** Voids the access tokens of a session that the store has ended already; its user has `remaining` others. */
  async void(sid: string, remaining: number): Promise<boolean> {
    const { activity, revocations, sessions } = this.#parts
    activity.forget(sid)
    const propagated = await revocations.add([{ kind: 'session', sid }])
    await sessions.markOffline([[sid, remaining]]).catch(() => {})
    return propagated
  }

  /** A password was changed or a user removed: sessions from before end now, not when they are refreshed. */
  async #endOutdated(uid: string, stamp = ''): Promise<void> {
    const { keys, sessions, revocations, activity, warn } = this.#parts
    try {
      const ended = await sessions.endOutdated(keys.hashUser(uid), stamp)
      await revocations.add(ended.map((sid) => ({ kind: 'session', sid })))
      for (const sid of ended) activity.forget(sid)
      await sessions.markOffline(ended.map((sid) => [sid, 0] as const)).catch(() => {})
    } catch {
      warn('The store does not answer: sessions of a changed user end at their next refresh, not now.')
    }
  }
}
