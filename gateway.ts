import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { buildGeneration, type GatewayConfig, type Generation, loadGatewayConfig } from './app.ts'
import { entityTag } from './config/entity-tag.ts'
import { refuseFixed } from './config/fixed.ts'
import { renderMistakes } from './config/frame.ts'
import { ConfigError } from './config/mistake.ts'
import { toWait } from './config/units.ts'
import { type ConfigWatch, watchConfig } from './config/watch.ts'
import { Draining, isProblem } from './errors.ts'
import { cutOff } from './plugins/corridor.ts'
import { metricsOf } from './plugins/metrics.ts'
import { causeCode } from './plugins/problem.ts'
import type { Change, Control, ReloadResult } from './routes/admin/control.ts'
import { ReloadRecord } from './routes/admin/record.ts'
import { Front, type Side } from './routes/front.ts'
import { newMemory } from './routes/memory.ts'
import { handUpgrade } from './routes/proxy/upgrade.ts'
import { historyOf } from './services/history/open.ts'
import { Retired } from './services/retired.ts'
import { createRuntime, type Runtime } from './services/runtime/runtime.ts'
import { type Lease, ServiceRegistry } from './services/services.ts'
import type { Log } from './services/telemetry/log.ts'
import type { Speech } from './services/telemetry/speech.ts'
import { tunnelsOf } from './services/transport/tunnel.ts'
import type { Processes } from './services/workers/crew.ts'
import { type Entrance, OwnEntrance, type Sides } from './services/workers/entrance.ts'

export interface GatewayOptions {
  /** Path of the config file. */
  readonly path: string
  /** Asked once, with the first config: how the process speaks is settled by what that says. */
  readonly speak: (loaded: GatewayConfig) => Speech
  /** Where the output of local processes goes. */
  readonly output: Writable
  /** Starts the local processes of `services.X.run` (toll dev, toll demo). */
  readonly runtime?: boolean
  /** Follows the config file; off where a test reloads by hand. */
  readonly watch?: boolean
  /** Where connections come from; left out, the gateway listens itself. */
  readonly entrance?: Entrance
  readonly processes?: Processes
  /** Begins with this text, which served already, and looks at the file only then. */
  readonly text?: string | undefined
}

type Values = GatewayConfig['value']

/** Longest wait for what was cut off to be told. */
const cutOffTimeout = 1000

/** Owns the sockets. The apps behind them are replaced whole, never edited. */
export class Gateway implements Control {
  readonly #options: GatewayOptions
  readonly #registry = new ServiceRegistry()
  readonly #memory = newMemory()
  /** Keeps what must live as long as the process, whatever the config says. */
  readonly #lease: Lease = this.#registry.lease()
  readonly #replaced = new Retired<Generation>()
  readonly #runtime: Runtime
  readonly #entrance: Entrance
  readonly processes: Processes
  #speech: Speech | undefined
  /** Knows which answers are not out yet, whichever config they belong to. */
  #front: Front | undefined
  #current: Generation | undefined
  #record: ReloadRecord<GatewayConfig> | undefined
  #watcher: ConfigWatch | undefined
  #reloading: Promise<unknown> = Promise.resolve()
  isDraining = false

  private constructor(options: GatewayOptions) {
    this.#options = options
    this.#entrance = options.entrance ?? new OwnEntrance()
    this.processes = options.processes ?? {}
    this.#runtime = this.#lease.shared(
      'runtime',
      () => createRuntime({ output: options.output }),
      (runtime) => runtime.close()
    )
  }

  /** Reads the config, builds the first app, listens. Rejects with ConfigError (nothing was opened) or the listener's error. */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const gateway = new Gateway(options)
    if (options.watch !== false) {
      gateway.#watcher = watchConfig(options.path, () => void gateway.reload('the file changed'))
    }
    const starting = gateway.#open()
    // A change of the file meanwhile waits until there is something to change.
    gateway.#reloading = starting.catch(() => undefined)
    try {
      await starting
    } catch (error) {
      await gateway.#abandon()
      throw error
    }
    options.processes?.crew?.onAsked({
      figures: () => gateway.#current!.figures(),
      reload: (reason, by) => gateway.reload(reason, by === undefined ? {} : { by })
    })
    if (options.text !== undefined) void gateway.reload('start')
    return gateway
  }

  async #open(): Promise<void> {
    const { path, text, speak } = this.#options
    const { crew } = this.processes
    const loaded = await loadGatewayConfig(path, this.#memory, text === undefined ? {} : { text })
    this.#speech = speak(loaded)
    this.#watcher?.follow(loaded.files)
    this.#record = new ReloadRecord(loaded, {
      metrics: metricsOf(this.#lease),
      history: historyOf(loaded, this.log),
      keepsHistory: crew === undefined || crew.number === 1,
      onSettled: (written) => crew?.settled(written)
    })
    this.#current = await this.#build(loaded)
    this.#record.settle('applied', loaded, { at: new Date().toISOString(), by: 'file', reason: 'start' })
    await this.#listen(loaded.value)
    this.#run(loaded)
  }

  /** Starts, restarts and stops local processes as the config that serves now has them; nobody waits for them. */
  #run({ value, directory }: GatewayConfig): void {
    if (this.#options.runtime !== true && !value.runtime.enabled) return
    void this.#runtime.apply({ services: value.services, options: value.runtime, directory })
  }

  /** Where it listens really, ports resolved. */
  get addresses(): Sides<string> {
    return this.#front!.addresses
  }

  get log(): Log {
    return this.#speech!.log
  }

  get config(): GatewayConfig {
    return this.#record!.config
  }

  get record(): ReloadRecord<GatewayConfig> {
    return this.#record!
  }

  /**
   * Reads the file again, or puts another text there first, one after the other with every other reload. A config that cannot be read
   * or built changes nothing and is told in the result; it rejects only with a problem of a change that somebody asked for.
   */
  reload(reason: string, change: Change = {}): Promise<ReloadResult> {
    const next = this.#reloading.then(() => this.#reload(reason, change))
    this.#reloading = next.catch(() => undefined)
    return next
  }

  async #reload(reason: string, { by = 'file', expect, edit }: Change): Promise<ReloadResult> {
    const { log } = this.#speech!
    const at = new Date().toISOString()
    if (this.isDraining) return this.#left(edit)
    const { record } = this
    const serving = record.config
    expect?.(entityTag(serving))
    try {
      const edited = await edit?.(serving)
      const loaded = await loadGatewayConfig(this.#options.path, this.#memory, edited)
      if (edited === undefined) this.#watcher?.follow(loaded.files)
      if (loaded.revision === serving.revision) {
        await edited?.commit()
        return record.settle('unchanged', loaded, { at, by, reason })
      }
      refuseFixed(serving.value, loaded.value)
      const next = await this.#build(loaded)
      try {
        if (!this.isDraining) await edited?.commit()
      } catch (error) {
        await next.close()
        throw error
      }
      // It was told to leave meanwhile, and closes what serves now.
      if (this.isDraining) {
        await next.close()
        return this.#left(edit)
      }
      const current = this.#current!
      this.#watcher?.follow(loaded.files)
      this.#front!.hold(loaded.value)
      this.#current = next
      next.activate()
      this.#replaced.add(current, (error) =>
        log.error({ cause: causeCode(error) }, 'an old config did not close')
      )
      this.#run(loaded)
      const settled = record.settle('applied', loaded, { at, by, reason })
      log.info({ reason, by, revision: loaded.revision, changes: settled.changes }, 'config reloaded')
      return settled
    } catch (error) {
      if (edit !== undefined && isProblem(error)) throw error
      const mistakes = error instanceof ConfigError ? renderMistakes(error) : (error as Error).message
      const refused = { outcome: 'refused', revision: this.config.revision, at, mistakes } as const
      // What was never in the file says nothing of the file.
      if (edit !== undefined) return refused
      if (error instanceof ConfigError) this.#watcher?.follow(error.files)
      log.error(
        { reason, serving: this.config.revision },
        `config refused, the old one serves on\n${mistakes}`
      )
      return record.note(refused)
    }
  }

  /** Whoever asks for another config is told; a file that changed is for the next start. */
  #left(edit: Change['edit']): ReloadResult {
    if (edit !== undefined) throw Draining([], { reason: 'draining' })
    return this.record.last
  }

  #build(loaded: GatewayConfig): Promise<Generation> {
    const { log, lines, format } = this.#speech!
    return buildGeneration(loaded, {
      registry: this.#registry,
      log,
      lines,
      format,
      control: this,
      runtime: this.#runtime,
      memory: this.#memory
    })
  }

  async #listen(config: Values): Promise<void> {
    this.#front = new Front(config, {
      log: this.#speech!.log,
      metrics: metricsOf(this.#lease),
      entrance: this.#entrance,
      onRequest: (side, request, response) => this.#serve(side, request, response),
      onNoRequest: (side, { statusCode }, peer) => {
        // Slow is not malformed.
        if (side === 'app' && statusCode !== 408) this.#current?.app.suspect(peer)
      },
      onUpgrade: (request, socket, head) => this.#upgrade(request, socket, head)
    })
    await this.#front.listen(config)
  }

  #serve(side: Side, request: IncomingMessage, response: ServerResponse): void {
    const generation = this.#current!
    generation.inFlight.enter()
    response.on('close', generation.inFlight.leave)
    if (this.isDraining) response.shouldKeepAlive = false
    generation[side].routing(request, response)
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const generation = this.#current!
    generation.inFlight.enter()
    // It closes as soon as the socket is a tunnel: a WebSocket outlives the config that let it in.
    handUpgrade(generation.app, request, socket, head).once('close', generation.inFlight.leave)
  }

  /**
   * Says "not ready", waits `shutdown.delay`, stops accepting, lets requests finish, ends WebSockets, closes everything. Connections that
   * look idle are left open for `lastCall` milliseconds. `soon`: others serve on, so nobody has to notice first, and WebSockets have as
   * long as requests.
   */
  async stop({ lastCall = 200, soon = false } = {}): Promise<void> {
    if (this.isDraining) return
    this.isDraining = true
    this.#watcher?.close()
    const { delay, timeout } = this.config.value.shutdown
    if (soon) await this.#entrance.close('admin')
    else await new Promise((resolve) => setTimeout(resolve, toWait(delay)))
    const front = this.#front!
    for (const response of front.underWay()) response.shouldKeepAlive = false
    await front.stopAccepting(lastCall)
    const generations = [this.#current!, ...this.#replaced]
    const underWay = generations.map(({ inFlight }) => inFlight)
    if (soon) underWay.push(tunnelsOf(this.#lease).inFlight)
    await Promise.all(underWay.map((one) => one.idle(toWait(timeout))))
    for (const response of front.underWay()) cutOff(response, 'shutdown')
    await this.#abandon()
  }

  async #abandon(): Promise<void> {
    this.#watcher?.close()
    for (const server of this.#front?.servers ?? []) {
      server.close()
      server.closeAllConnections()
    }
    const generations = [this.#current, ...this.#replaced]
    // Who was cut off just now is in the log and the metrics before they end.
    await Promise.all(generations.map((generation) => generation?.inFlight.idle(cutOffTimeout)))
    if (this.#current !== undefined) await this.processes.crew?.farewell(await this.#current.figures())
    await Promise.all(generations.map((generation) => generation?.close()))
    await this.#record?.history.settled()
    await this.#lease.release()
  }
}
