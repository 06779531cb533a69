import { randomUUID } from 'node:crypto'
import type { Services } from '../services.ts'
import type { Pool } from '../upstream/pool.ts'
import { NodeOverrides } from './node-overrides.ts'

/**
 * What was changed about nodes while running, for all gateways on the store. It belongs to no config; the pools of this one follow it for
 * as long as the config is held.
 */
export async function openNodeOverrides(
  { store, shared }: Pick<Services, 'store' | 'shared'>,
  pools: ReadonlyMap<string, Pool>
): Promise<NodeOverrides> {
  const overrides = await shared(
    'node-overrides',
    () => NodeOverrides.open(store),
    (opening) =>
      opening.then(
        (opened) => opened.close(),
        () => {}
      )
  )
  const leave = await overrides.join(pools.values())
  shared(
    `following-nodes:${randomUUID()}`,
    () => leave,
    () => leave()
  )
  return overrides
}
