import type { Services } from '../services.ts'
import { LimitChanges } from './changes.ts'
import { Limits } from './limits.ts'

/** One for the whole process, so that what is known of the store's absence, and of every client, outlives a reload. */
export function openLimits(
  { store, shared }: Services,
  log: { warn(sentence: string): void; info(sentence: string): void }
): Promise<Limits> {
  return shared(
    'limits',
    async () => {
      const opened: { limits?: Limits } = {}
      const changes = await LimitChanges.open(store, () => opened.limits?.forget())
      const events = {
        onAway: () =>
          log.warn('the store does not answer in time: each gateway lets its share of the limits through'),
        onReturn: () => log.info('the store answers again: limits are counted together again')
      }
      opened.limits = new Limits(store, events, changes)
      return opened.limits
    },
    (opening) =>
      opening.then(
        (limits) => limits.close(),
        () => {}
      )
  )
}
