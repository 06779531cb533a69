import type { Check } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { parseNetwork } from './address-set.ts'
import type { RouteClients } from './slice.ts'

interface Guarded {
  readonly guard: Readonly<Record<(typeof lists)[number], readonly string[]>>
  readonly routes: readonly { readonly clients?: RouteClients }[]
}

const lists = ['trustedProxies', 'allow', 'deny'] as const

/** Whatever names a network is an address or a range. */
export const networkLists: Check = ({ guard, routes }: Guarded, report) => {
  const look = (list: readonly string[], at: (index: number) => string) => {
    for (const [index, written] of list.entries()) {
      const network = parseNetwork(written)
      if (network === undefined) report.error(at(index), `"${written}" is not an address or a CIDR range`)
      else if (network.bits === 0) report.warning(at(index), `"${written}" is everybody`)
    }
  }
  for (const key of lists) look(guard[key], (index) => pointerOf('guard', key, index))
  for (const [place, { clients }] of routes.entries()) {
    for (const key of ['allow', 'deny'] as const) {
      look(clients?.[key] ?? [], (index) => pointerOf('routes', place, 'clients', key, index))
    }
  }
}
