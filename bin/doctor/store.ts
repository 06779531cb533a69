import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { GatewayConfig } from '../../app.ts'
import { openStore } from '../../services/store/open.ts'
import { type Operation, StoreOpenError } from '../../services/store/store.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Does the store answer, and does its clock agree with ours? Sessions and limits go by the store's. */
export async function* examineStore({
  value: { store: options },
  directory
}: GatewayConfig): AsyncIterable<Finding> {
  if (options.driver === 'embedded' && !existsSync(resolve(directory, options.path))) {
    yield ok('store', 'The embedded store is made at the first start.')
    return
  }
  try {
    const store = await openStore(options, directory)
    try {
      const before = Date.now()
      const theirs = await store.run(clock, ['toll:{doctor}'], [])
      const after = Date.now()
      yield ok('store', `The ${store.driver} store answers in ${after - before} ms.`)
      yield examineClock(theirs, before, after)
    } finally {
      await store.close()
    }
  } catch (error) {
    const remedy = options.driver === 'redis' ? 'Start Redis, or mend "store.url".' : 'Mend "store.path".'
    const sentence = error instanceof StoreOpenError ? error.message : 'The store does not answer.'
    yield fail('store', sentence, remedy)
  }
}

/** Half a minute apart, tokens look expired or not yet valid to others. */
const farApartMs = 30_000
const apartMs = 1000

export function examineClock(theirs: number, before: number, after: number): Finding {
  const apart = Math.max(before - theirs, theirs - after, 0)
  const remedy = 'Keep the clocks of all machines in step, with NTP.'
  if (apart > farApartMs) return fail('clock', `This clock is ${seconds(apart)} off the store's.`, remedy)
  if (apart > apartMs) return warn('clock', `This clock is ${seconds(apart)} off the store's.`, remedy)
  return ok('clock', "This clock and the store's agree.")
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** Reads the store's clock, in milliseconds. */
const clock: Operation<number> = {
  name: 'doctor-clock',
  lua: "local now = redis.call('TIME') return now[1] * 1000 + math.floor(now[2] / 1000)",
  transact: (tx) => tx.now,
  decode: Number
}
