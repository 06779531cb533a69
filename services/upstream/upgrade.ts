import { Handshake, type HandshakeSink } from '../transport/handshake.ts'
import { headOf, type Sent } from '../transport/transport.ts'
import type { UpstreamNode } from './node.ts'
import type { Pool, PoolRequest } from './pool.ts'

/** Asks the nodes of a service for an upgrade, one after the other as long as none can be reached. */
export function sendUpgrade(pool: Pool, request: PoolRequest, sink: HandshakeSink): Sent {
  let current: Handshake | undefined
  let isCancelled = false
  const attempt = (left: number, not: UpstreamNode | undefined): void => {
    const node = pool.pick(not)
    if (node === undefined) {
      sink.onFailure({ kind: 'unavailable', reason: 'no_node', isUnsent: true })
      return
    }
    request.onNode(node)
    const outgoing = request.outgoingFor(node)
    current = new Handshake(node.endpoint, headOf(outgoing), outgoing.timeouts, {
      onWhole: (status, reason, headers, body) => sink.onWhole(status, reason, headers, body),
      onHead: (status, reason, headers) => sink.onHead(status, reason, headers),
      onData: (chunk) => sink.onData(chunk),
      onFlush: () => sink.onFlush(),
      onEnd: (trailers) => sink.onEnd(trailers),
      onSwitch: (reason, headers, rest, socket) => sink.onSwitch(reason, headers, rest, socket),
      onFailure: (failure) => {
        if (failure.isUnsent) pool.eject(node)
        if (failure.isUnsent && left > 0 && !isCancelled) attempt(left - 1, node)
        else sink.onFailure(failure)
      }
    })
  }
  queueMicrotask(() => attempt(Math.min(pool.attempts, pool.nodes.length - 1), undefined))
  return {
    cancel: () => {
      isCancelled = true
      current?.cancel()
    },
    resume: () => current?.resume()
  }
}
