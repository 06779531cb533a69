import type { Services } from '../services.ts'
import { NodeOverrides } from './node-overrides.ts'

/** What was changed about the nodes of a store's gateways; it belongs to no config. */
export const openNodeOverrides = ({
  store,
  shared
}: Pick<Services, 'store' | 'shared'>): Promise<NodeOverrides> =>
  shared(
    'node-overrides',
    () => NodeOverrides.open(store),
    async (opening) => (await opening).close()
  )
