import type { Services } from '../../services.ts'
import { endSession, raiseEpoch } from '../sessions/end.ts'
import { epochKey, indexKey, sessionKey, sessionPrefix } from '../sessions/records.ts'
import { userHashOf } from '../sessions/refresh-token.ts'
import { isForeign } from './revocation.ts'
import { Revocations } from './revocations.ts'

/** Milliseconds a token may be in date that the gateway issued, or somebody else. */
export interface TokenLives {
  readonly own: number
  readonly foreign: number
}

/**
 * The list of revocations of a store, shared under `key`. It belongs to no config: what was revoked in an outage, and waits to be told to the store, is
 * known to this process alone, and a reload of whatever options must not lose it. Entries stay as long as the longest-lived tokens of
 * any config that has asked.
 */
export function openRevocations(
  services: Pick<Services, 'store' | 'shared'>,
  key: string,
  lives: TokenLives,
  warn: (sentence: string) => void
): Promise<Revocations> {
  const { store } = services
  const shared = services.shared(
    key,
    () => {
      const longest = { ...lives }
      const revocations = Revocations.start(store, {
        keep: (event) => (isForeign(event) ? longest.foreign : longest.own),
        now: Date.now,
        reassert: (userHash, epoch) => store.run(raiseEpoch, [epochKey(userHash)], [epoch]),
        endAgain: (sid) => {
          const hash = userHashOf(sid)
          return store.run(endSession, [sessionKey(hash, sid), indexKey(hash)], [sid, sessionPrefix(hash)])
        },
        warn
      })
      // Whoever opens an identity hears of it, if not at once.
      revocations.catch(() => {})
      return { longest, revocations }
    },
    ({ revocations }) =>
      revocations.then(
        (opened) => opened.close(),
        () => {}
      )
  )
  shared.longest.own = Math.max(shared.longest.own, lives.own)
  shared.longest.foreign = Math.max(shared.longest.foreign, lives.foreign)
  return shared.revocations
}
