import { Type } from '@sinclair/typebox'
import { Duration } from '../../../config/units.ts'

/** What a route does with tokens while it is not known which were revoked lately. */
export const onStaleModes = [
  Type.Literal('closed', { description: 'Refuses them: 503 with Retry-After.' }),
  Type.Literal('degraded', {
    description:
      'Takes those that were issued within two minutes or were used here before the store fell silent; refuses others.'
  }),
  Type.Literal('open', { description: 'Takes them until exp, and counts the requests.' })
]

export type OnStale = 'closed' | 'degraded' | 'open'

/** The options of `auth` about how well the list of revocations has to be known. */
export const revocationOptions = {
  maxStaleness: Duration({
    description:
      'How long the gateway trusts its list of what was revoked while the store does not answer; then `onStale` decides.',
    default: '2s'
  }),
  onStale: Type.Union(onStaleModes, {
    description:
      'What becomes of requests to routes with session "revocable" while the store was not heard of for `maxStaleness`, unless a route says otherwise.',
    default: 'degraded'
  })
}
