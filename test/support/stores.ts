import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { openStore } from '../../services/store/open.ts'
import type { Store } from '../../services/store/store.ts'
import { startRedis } from './redis.ts'

/** The `store` key of a config for each driver, with what stands behind it until the test ends. */
export async function storeConfigs(t: Test): Promise<readonly Record<string, unknown>[]> {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  return [
    { driver: 'embedded', path: '.toll/store' },
    { driver: 'redis', url: redis.url, timeout: '2s' }
  ]
}

/** One open store of each driver, closed when the test ends. */
export async function openStores(t: Test): Promise<readonly Store[]> {
  const directory = mkdtempSync(join(tmpdir(), 'toll-store-'))
  const redis = await startRedis()
  const stores = [
    await openStore({ driver: 'embedded', path: 'store' }, directory),
    await openStore({ driver: 'redis', url: redis.url, timeout: '1s' }, directory)
  ]
  t.teardown(async () => {
    await Promise.all(stores.map((store) => store.close()))
    await redis.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  return stores
}
