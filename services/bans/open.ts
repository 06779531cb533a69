import { toMilliseconds } from '../../config/units.ts'
import { openAudit } from '../audit/trail.ts'
import type { Services } from '../services.ts'
import { addressSet } from './address-set.ts'
import { type BanPolicy, Bans } from './bans.ts'
import type { BanOptions } from './slice.ts'

interface BanLog {
  warn(facts: object, sentence: string): void
}

/** How bans are placed by one config. */
export const banPolicy = (allow: readonly string[], ban: BanOptions): BanPolicy => ({
  durations: ban.durations.map(toMilliseconds),
  memory: toMilliseconds(ban.memory),
  dryRun: ban.dryRun,
  exempt: addressSet(allow)
})

/** One for the whole process: who is banned stays so, whichever config serves. */
export function openBans({ store, shared }: Pick<Services, 'store' | 'shared'>, log: BanLog): Promise<Bans> {
  const audit = openAudit({ store, shared }, log)
  return shared(
    'bans',
    () =>
      Bans.open(store, {
        onBan(placed, isDry) {
          const { network, reason, evidence, until, level, by } = placed
          const shown = { network, reason, evidence, until: new Date(until).toISOString(), level, by }
          log.warn(shown, isDry ? 'would ban a client; this is a dry run' : 'banned a client')
          if (isDry || by !== 'automatic') return
          const at = new Date().toISOString()
          const detail = { reason, evidence, until: shown.until }
          void audit.note({ at, by, what: 'ban.add', to: network, detail })
        },
        onFull: () =>
          log.warn({}, 'there are as many bans as a gateway keeps (200000): no more are placed by themselves')
      }),
    (opening) =>
      opening.then(
        (opened) => opened.close(),
        () => {}
      )
  )
}
