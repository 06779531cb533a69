import type { Failure, Outgoing } from '../transport/transport.ts'

/**
 * Whether a failure speaks against the node. What the client did, a queue of our own or the whole exchange's clock does not; nor does a
 * connection that broke while the client was still sending, since a bad body is refused in that way by some.
 */
export function isFault(failure: Failure & { readonly wasStale?: boolean }, body: Outgoing['body']): boolean {
  switch (failure.kind) {
    case 'connect':
      return true
    case 'timeout':
      return failure.reason !== 'total_timeout'
    case 'broken':
      return failure.wasStale !== true && (body === undefined || body.complete)
    default:
      return false
  }
}
