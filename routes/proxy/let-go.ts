import type { IncomingMessage } from 'node:http'

/** Where Node notes how far a stream is; there is no public way to say that nobody will read it. */
type Noted = IncomingMessage & {
  _dumped: boolean
  readonly _readableState: Record<'ended' | 'endEmitted' | 'destroyed' | 'closed' | 'closeEmitted', boolean>
}

/**
 * Has done with a request that is in, when nobody reads it or listens to it. Node would let it flow behind its answer, come to its end and
 * be destroyed: six callbacks that nobody hears. Its option `optimizeEmptyRequests`, which Node 20 does not have, does the same to requests
 * without a body before they are begun, when somebody may yet want to hear that the client has left.
 */
export function letGo(request: IncomingMessage): void {
  if (!request.complete || request.readableFlowing !== null || request.readableLength > 0) return
  if (request.listenerCount('end') > 0 || request.listenerCount('close') > 0) return
  const noted = request as Noted
  noted._dumped = true
  const state = noted._readableState
  state.ended = true
  state.endEmitted = true
  state.destroyed = true
  state.closed = true
  state.closeEmitted = true
}
