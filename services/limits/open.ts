import type { Services } from '../services.ts'
import { Limits } from './limits.ts'

/** One for the whole process, so that what is known of the store's absence, and of every client, outlives a reload. */
export function openLimits(
  { store, shared }: Services,
  log: { warn(sentence: string): void; info(sentence: string): void }
): Limits {
  return shared(
    'limits',
    () => {
      const events = {
        onAway: () =>
          log.warn('the store does not answer in time: each gateway lets its share of the limits through'),
        onReturn: () => log.info('the store answers again: limits are counted together again')
      }
      return new Limits(store, events, { version: 0, of: () => undefined })
    },
    async (limits) => void (await limits.close())
  )
}
