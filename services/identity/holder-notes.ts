import type { Rate } from '../limits/bucket.ts'
import type { Quota } from '../limits/window.ts'
import type { Seen } from './sessions/activity.ts'

/**
 * What is written or asked for every request of one holder, kept where the holder is. With thousands of users each further table to look in is a few
 * more places in memory that no cache holds, and they cost more than all that is done with what is found there.
 */
export class HolderNotes {
  /**
   * The lines that tell services who is asking, and by which names: another config may have others. Not who wrote them: a holder may be
   * known for longer than that config serves, and would keep all of it in memory.
   */
  lines = ''
  linesBy: object | undefined
  /** What the holder's requests are counted by where they are counted by who asks; '' until that was needed. */
  key = ''
  /** Where that is counted, and for which numbers of a limit. */
  place = ''
  placeBy: Rate | Quota | undefined
  /** How the access log names the holder. */
  logged = ''
  /** Whether the session is named as sessions are; undefined until that was asked. */
  hasSession: boolean | undefined
  /** The session's key in the store, once that was asked for it together with something else. */
  gate: string | undefined
  /** When the session was used last, once that was noted. */
  seen: Seen | undefined
}
