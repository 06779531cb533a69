import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { HandshakeSink } from '../../services/transport/handshake.ts'
import type { Outgoing, Sent } from '../../services/transport/transport.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import { sendUpgrade } from '../../services/upstream/upgrade.ts'
import { stopWatching } from '../connections.ts'
import { type OwnHeaders, switchHeaders } from './answer-headers.ts'
import { DirectCall } from './direct-call.ts'
import { openTunnel } from './open-tunnel.ts'
import type { Plan } from './plan.ts'
import type { PendingUpgrade } from './upgrade.ts'

/** A call that asks for WebSocket. What the service answers instead goes the way of ordinary answers. */
export class UpgradeCall extends DirectCall implements HandshakeSink {
  readonly #pending: PendingUpgrade
  readonly #askedAt = performance.now()

  constructor(request: FastifyRequest, reply: FastifyReply, plan: Plan, pending: PendingUpgrade) {
    super(request, reply, plan)
    this.#pending = pending
  }

  protected override dispatch(): Sent {
    return sendUpgrade(this.plan.pool, this, this)
  }

  override outgoingFor(node: UpstreamNode): Outgoing {
    const outgoing = super.outgoingFor(node)
    return { ...outgoing, headers: `${outgoing.headers}Connection: Upgrade\r\nUpgrade: websocket\r\n` }
  }

  /** The service agreed to speak WebSocket: its words go to the client, and from here on the bytes are none of our business. */
  onSwitch(reason: string, headers: string[], rest: Buffer, socket: Socket): void {
    this.isOver = true
    const { raw } = this.reply
    const { socket: client } = this.#pending
    const early = this.#pending.release()
    const own = this.reply.getHeaders() as OwnHeaders
    this.request.exchange.upstreamTime = performance.now() - this.#askedAt
    this.reply.hijack()
    raw.sendDate = false
    raw.writeHead(101, reason, switchHeaders(headers, own, this.hidesCookies))
    raw.flushHeaders()
    raw.detachSocket(client)
    stopWatching(client)
    const tunnel = openTunnel(this.plan, this.request.exchange, [client, socket], this.idle)
    tunnel.feed({ fromClient: early, fromUpstream: rest })
    // The exchange is over for everybody who counts them; the tunnel may last for days.
    raw.emit('close')
  }
}
