import { resolve } from 'node:path'
import { toMilliseconds } from '../../config/units.ts'
import type { StoreOptions } from './slice.ts'
import type { Store } from './store.ts'

/** Opens the store a config asks for, or rejects with a StoreOpenError; `directory` is the config file's. */
export async function openStore(options: StoreOptions, directory: string): Promise<Store> {
  // A driver is loaded where it is used: ioredis alone is a tenth of the time a gateway takes to start.
  if (options.driver === 'redis') {
    const { openRedis } = await import('./redis.ts')
    return openRedis(options.url, toMilliseconds(options.timeout))
  }
  const { openEmbedded } = await import('./embedded.ts')
  return openEmbedded(resolve(directory, options.path))
}
