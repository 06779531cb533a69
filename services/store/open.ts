import { resolve } from 'node:path'
import { toMilliseconds } from '../../config/units.ts'
import { openEmbedded } from './embedded.ts'
import { openRedis } from './redis.ts'
import type { StoreOptions } from './slice.ts'
import type { Store } from './store.ts'

/** Opens the store a config asks for, or rejects with a StoreOpenError; `directory` is the config file's. */
export async function openStore(options: StoreOptions, directory: string): Promise<Store> {
  if (options.driver === 'redis') return openRedis(options.url, toMilliseconds(options.timeout))
  return openEmbedded(resolve(directory, options.path))
}
