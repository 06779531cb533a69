import { Handshake, type HandshakeSink } from '../transport/handshake.ts'
import { headOf, type Sent } from '../transport/transport.ts'
import { isFault } from './fault.ts'
import type { UpstreamNode } from './node.ts'
import { none, type Pool, type PoolRequest } from './pool.ts'

/** Asks the nodes of a service for an upgrade, one after the other as long as none can be reached. */
export function sendUpgrade(pool: Pool, request: PoolRequest, sink: HandshakeSink): Sent {
  let current: Handshake | undefined
  let isCancelled = false
  let leave = (): void => {}
  const tried: UpstreamNode[] = []
  const attempt = (node: UpstreamNode): void => {
    const { standing } = node
    let isTrial = standing.isOut
    let isAtNode = true
    const judge = (isGood: boolean): void => {
      if (isGood) standing.succeed(isTrial)
      else standing.fail(isTrial, pool.health)
      isTrial = false
    }
    const answered = (status: number): void => judge(status < 500 || !pool.health.serverErrors)
    leave = () => {
      if (!isAtNode) return
      isAtNode = false
      node.inFlight -= 1
      if (isTrial) standing.release()
      isTrial = false
    }
    node.inFlight += 1
    tried.push(node)
    request.onNode(node)
    const outgoing = request.outgoingFor(node)
    current = new Handshake(node.endpoint, headOf(outgoing), outgoing.timeouts, {
      onWhole: (status, reason, headers, body) => {
        answered(status)
        leave()
        sink.onWhole(status, reason, headers, body)
      },
      onHead: (status, reason, headers) => {
        answered(status)
        sink.onHead(status, reason, headers)
      },
      onData: (chunk) => sink.onData(chunk),
      onFlush: () => sink.onFlush(),
      onEnd: (trailers) => {
        leave()
        sink.onEnd(trailers)
      },
      onSwitch: (reason, headers, rest, socket) => {
        judge(true)
        // A WebSocket is under way until it ends, so that whoever drains a node can see it.
        socket.once('close', leave)
        sink.onSwitch(reason, headers, rest, socket)
      },
      onFailure: (failure) => {
        if (isFault(failure, undefined)) judge(false)
        leave()
        const mayRetry = failure.isUnsent && tried.length <= pool.retry.attempts && !isCancelled
        const next = mayRetry ? pool.pick(request, tried) : undefined
        if (next === undefined) sink.onFailure(failure)
        else attempt(next)
      }
    })
  }
  queueMicrotask(() => {
    const node = isCancelled ? undefined : pool.pick(request, none)
    if (node !== undefined) attempt(node)
    else if (!isCancelled) sink.onFailure(pool.unserved())
  })
  return {
    cancel: () => {
      isCancelled = true
      leave()
      current?.cancel()
    },
    resume: () => current?.resume()
  }
}
