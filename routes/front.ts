import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Problem } from '../errors.ts'
import { trustList } from '../plugins/guard/client-address.ts'
import type { Log } from '../services/telemetry/log.ts'
import type { Metrics } from '../services/telemetry/metrics.ts'
import { Spell } from '../services/telemetry/spell.ts'
import type { Entrance, Sides } from '../services/workers/entrance.ts'
import { bePatient, createListener, type Patience } from './listener.ts'
import { ignoreUpgrade, isUpgrade, isWebSocket } from './proxy/upgrade.ts'
import { guardWire, type Wire, type WireBounds } from './wire.ts'

/** What of a config the listeners are held to. */
export interface FrontConfig {
  readonly listen: Omit<WireBounds, 'trusts'> & Patience & { readonly public: string; readonly admin: string }
  readonly guard: { readonly trustedProxies: readonly string[] }
  readonly problem: { readonly base: string }
}

export type Side = 'app' | 'admin'

export interface FrontOptions {
  readonly log: Log
  readonly metrics: Metrics
  readonly entrance: Entrance
  readonly onRequest: (side: Side, request: IncomingMessage, response: ServerResponse) => void
  /** A peer has sent what is no request. */
  readonly onNoRequest: (side: Side, problem: Problem, peer: string) => void
  /** A WebSocket is asked for, on the public side. */
  readonly onUpgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => void
}

/** Both listeners, with what holds clients to their bounds, and what is counted and told before there is a request. */
export class Front {
  readonly public: Server
  readonly admin: Server
  readonly #options: FrontOptions
  readonly #wires: readonly Wire[]
  #config: FrontConfig
  #addresses: Sides<string> | undefined

  /** Listens nowhere yet. */
  constructor(config: FrontConfig, options: FrontOptions) {
    this.#config = config
    this.#options = options
    this.public = createListener(config.listen, isUpgrade)
    this.admin = createListener(config.listen, () => false)
    this.#wires = [this.#guard(this.public, 'app'), this.#guard(this.admin, 'admin')]
  }

  get servers(): readonly Server[] {
    return [this.public, this.admin]
  }

  /** Where clients find it, ports resolved. */
  get addresses(): Sides<string> {
    return this.#addresses!
  }

  async listen({ listen }: FrontConfig): Promise<void> {
    const { public: open, admin } = listen
    this.#addresses = await this.#options.entrance.open(this, { public: open, admin })
  }

  /**
   * Closes the door to clients, but leaves their connections open for `lastCall` milliseconds: on one that looks idle a request may be on its
   * way, and Node's own close would reset it.
   */
  async stopAccepting(lastCall: number): Promise<void> {
    await this.#options.entrance.close('public')
    if (this.#wires[0]!.connections.count > 0) await new Promise((resolve) => setTimeout(resolve, lastCall))
  }

  /** The bounds of a reloaded config count from now on, also for connections that are open. */
  hold(config: FrontConfig): void {
    this.#config = config
    for (const server of this.servers) bePatient(server, config.listen)
    for (const wire of this.#wires) wire.hold(boundsOf(config))
  }

  /** Answers that are not out yet. */
  underWay(): ServerResponse[] {
    return this.#wires.flatMap(({ turns }) => [...turns.underWay()])
  }

  #guard(server: Server, side: Side): Wire {
    const { log, metrics, onRequest, onUpgrade } = this.#options
    const listener = side === 'app' ? 'public' : 'admin'
    const refusals = new Spell({
      began: (count, reason) => log.warn({ listener, reason, count }, 'connections are refused'),
      ended: (count) => log.info({ listener, count }, 'connections are no longer refused')
    })
    const show = (): void => metrics.connections.set({ listener }, wire.connections.count)
    const wire: Wire = guardWire(server, {
      problemBase: () => this.#config.problem.base,
      bounds: boundsOf(this.#config),
      onRequest: (request, response) => onRequest(side, request, response),
      onRefused: (problem, requestId, peer) => {
        this.#noteRefused(listener, problem, requestId)
        this.#options.onNoRequest(side, problem, peer)
      },
      onConnectionRefused: (reason) => {
        refusals.note(reason)
        metrics.connectionsRefused.inc({ listener, reason })
      },
      onSlowReader: () => metrics.slowReaders.inc({ listener }),
      onSwept: () => {
        refusals.look()
        show()
      },
      ...(side === 'app' && {
        onUpgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => {
          if (isWebSocket(request)) onUpgrade(request, socket, head)
          else ignoreUpgrade(server, request, socket, head)
        }
      })
    })
    // Nobody has to wait for the first look to find that there are none.
    show()
    return wire
  }

  /** What was never a request has no exchange: it is counted and logged here. */
  #noteRefused(listener: string, { code, reason, statusCode: status }: Problem, requestId: string): void {
    const { log, metrics } = this.#options
    metrics.countRefusal(code, reason)
    log.info({ requestId, listener, status, verdict: code, reason }, 'refused before it was a request')
  }
}

const boundsOf = ({ listen, guard }: FrontConfig): WireBounds => ({
  ...listen,
  trusts: trustList(guard.trustedProxies)
})
