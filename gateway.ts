import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { buildGeneration, type GatewayConfig, type Generation, loadGatewayConfig } from './app.ts'
import { diff } from './config/diff.ts'
import { renderMistakes } from './config/frame.ts'
import { ConfigError } from './config/mistake.ts'
import { toWait } from './config/units.ts'
import { type ConfigWatch, watchConfig } from './config/watch.ts'
import { cutOff } from './plugins/corridor.ts'
import { metricsOf } from './plugins/metrics.ts'
import { causeCode } from './plugins/problem.ts'
import type { Control, ReloadResult } from './routes/admin/control.ts'
import { Front, type Side } from './routes/front.ts'
import { newMemory } from './routes/memory.ts'
import { handUpgrade, ignoreUpgrade, isWebSocket } from './routes/proxy/upgrade.ts'
import { stopAccepting } from './routes/wire.ts'
import { createRuntime, type Runtime } from './services/runtime/runtime.ts'
import { type Lease, ServiceRegistry } from './services/services.ts'
import type { LineWriter } from './services/telemetry/line-writer.ts'
import type { Log, LogFormat } from './services/telemetry/log.ts'

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
}

/** How the gateway tells what it does. */
export interface Speech {
  readonly log: Log
  readonly lines: LineWriter
  readonly format: LogFormat
}

type Values = GatewayConfig['value']

/** Longest wait for the requests of a replaced config before its app is closed under them. */
const retireTimeout = 10 * 60_000
/** Longest wait for what was cut off to be told. */
const cutOffTimeout = 1000

/** Owns the sockets. The apps behind them are replaced whole, never edited. */
export class Gateway implements Control {
  readonly #options: GatewayOptions
  readonly #registry = new ServiceRegistry()
  readonly #memory = newMemory()
  /** Keeps what must live as long as the process, whatever the config says. */
  readonly #lease: Lease = this.#registry.lease()
  /** Configs that were replaced and still have requests under way. */
  readonly #replaced = new Set<Generation>()
  readonly #runtime: Runtime
  #speech: Speech | undefined
  /** Knows which answers are not out yet, whichever config they belong to. */
  #front: Front | undefined
  #current: Generation | undefined
  #watcher: ConfigWatch | undefined
  #reloading: Promise<unknown> = Promise.resolve()
  #lastReload: ReloadResult | undefined
  isDraining = false

  private constructor(options: GatewayOptions) {
    this.#options = options
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
    return gateway
  }

  async #open(): Promise<void> {
    const loaded = await loadGatewayConfig(this.#options.path, this.#memory)
    this.#speech = this.#options.speak(loaded)
    this.#watcher?.follow(loaded.files)
    this.#current = await this.#build(loaded)
    this.#note({ outcome: 'applied', revision: loaded.revision, at: new Date().toISOString() })
    await this.#listen(loaded.value)
    this.#run(loaded)
  }

  /** Starts, restarts and stops local processes as the config that serves now has them; nobody waits for them. */
  #run({ value, directory }: GatewayConfig): void {
    if (this.#options.runtime !== true && !value.runtime.enabled) return
    void this.#runtime.apply({ services: value.services, options: value.runtime, directory })
  }

  /** Where it listens really, ports resolved. */
  get addresses(): { public: string; admin: string } {
    return this.#front!.addresses
  }

  get log(): Log {
    return this.#speech!.log
  }

  get config(): GatewayConfig {
    return this.#current!.loaded
  }

  get lastReload(): ReloadResult {
    return this.#lastReload!
  }

  /** Reads the file again. Never rejects: a config that cannot be read or built changes nothing and is told in the result. */
  reload(reason: string): Promise<ReloadResult> {
    const next = this.#reloading.then(() => this.#reload(reason))
    this.#reloading = next
    return next
  }

  async #reload(reason: string): Promise<ReloadResult> {
    const { path } = this.#options
    const { log } = this.#speech!
    const at = new Date().toISOString()
    if (this.isDraining) return this.#lastReload!
    try {
      const loaded = await loadGatewayConfig(path, this.#memory)
      this.#watcher?.follow(loaded.files)
      const current = this.#current!
      if (loaded.revision === current.loaded.revision) {
        return this.#note({ outcome: 'unchanged', revision: loaded.revision, at })
      }
      refuseFixed(current.loaded.value, loaded.value)
      const next = await this.#build(loaded)
      // It was told to leave meanwhile, and closes what serves now.
      if (this.isDraining) {
        await next.close()
        return this.#lastReload!
      }
      this.#front!.hold(loaded.value)
      this.#current = next
      next.activate()
      this.#retire(current)
      this.#run(loaded)
      const changes = diff(current.loaded.value, loaded.value).slice(0, 20)
      log.info({ reason, revision: loaded.revision, changes }, 'config reloaded')
      return this.#note({ outcome: 'applied', revision: loaded.revision, at })
    } catch (error) {
      if (error instanceof ConfigError) this.#watcher?.follow(error.files)
      const mistakes = error instanceof ConfigError ? renderMistakes(error) : (error as Error).message
      log.error(
        { reason, serving: this.config.revision },
        `config refused, the old one serves on\n${mistakes}`
      )
      return this.#note({ outcome: 'refused', revision: this.config.revision, at, mistakes })
    }
  }

  #note(result: ReloadResult): ReloadResult {
    this.#lastReload = result
    metricsOf(this.#lease).noteReload(result.outcome)
    return result
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

  /** Lets the requests of a replaced app finish, then closes it and what only it held. */
  #retire(generation: Generation): void {
    this.#replaced.add(generation)
    generation.inFlight
      .idle(retireTimeout)
      .then(() => generation.close())
      .catch((error: unknown) =>
        this.#speech!.log.error({ cause: causeCode(error) }, 'an old config did not close')
      )
      .finally(() => this.#replaced.delete(generation))
  }

  async #listen(config: Values): Promise<void> {
    this.#front = new Front(config, {
      log: this.#speech!.log,
      metrics: metricsOf(this.#lease),
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
    if (!isWebSocket(request)) {
      ignoreUpgrade(this.#front!.public, request, socket, head)
      return
    }
    const generation = this.#current!
    generation.inFlight.enter()
    // It closes as soon as the socket is a tunnel: a WebSocket outlives the config that let it in.
    handUpgrade(generation.app, request, socket, head).once('close', generation.inFlight.leave)
  }

  /** Says "not ready", waits `shutdown.delay`, stops accepting, lets requests finish, ends WebSockets, closes everything. */
  async stop(lastCall = 200): Promise<void> {
    if (this.isDraining) return
    this.isDraining = true
    this.#watcher?.close()
    const { delay, timeout } = this.config.value.shutdown
    await new Promise((resolve) => setTimeout(resolve, toWait(delay)))
    const front = this.#front!
    for (const response of front.underWay()) response.shouldKeepAlive = false
    await stopAccepting(front.public, lastCall)
    const generations = [this.#current!, ...this.#replaced]
    await Promise.all(generations.map(({ inFlight }) => inFlight.idle(toWait(timeout))))
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
    await Promise.all(generations.map((generation) => generation?.close()))
    await this.#lease.release()
  }
}

/** What belongs to the process rather than to a config, and so cannot change with one. */
function refuseFixed(now: Values, next: Values): void {
  for (const name of ['public', 'admin'] as const) {
    if (now.listen[name] === next.listen[name]) continue
    throw new Error(
      `listen.${name} cannot change while the gateway runs; restart it to listen on ${next.listen[name]}.`
    )
  }
  if (JSON.stringify(now.store) === JSON.stringify(next.store)) return
  throw new Error('"store" cannot change while the gateway runs: sessions would be lost; restart it instead.')
}
