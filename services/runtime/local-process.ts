import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { toMilliseconds } from '../../config/units.ts'
import { Backlog, type OutputLine, type Printer, readLines } from './output.ts'
import { type Child, endGroup, startGroup } from './process-group.ts'
import { becomesReady, hostOf, portOf } from './readiness.ts'
import type { Reaper } from './reaper.ts'
import type { Run } from './slice.ts'

export type ProcessState = 'building' | 'starting' | 'running' | 'backoff' | 'stopped' | 'failed'

/** One process as `toll ps` and the admin listener show it. */
export interface ProcessStatus {
  readonly name: string
  readonly service: string
  readonly node: string | undefined
  readonly status: ProcessState
  /** What led to the status, in a few words. */
  readonly note: string | undefined
  readonly pid: number | undefined
  readonly restarts: number
  /** Since when it has this status, ISO 8601. */
  readonly since: string
}

export interface ProcessPlan {
  readonly name: string
  readonly service: string
  readonly run: Run
  readonly node: URL | undefined
  /** The directory of the config: `run.cwd` is relative to it. */
  readonly directory: string
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly grace: number
  /** Lines of output that are kept. */
  readonly lines: number
}

/** A process that ran this long was healthy: what ends it later is a first failure again. */
const settled = 10_000

/** Starts one process, waits until it is ready, starts it again when it ends, and stops it with all it started. */
export class LocalProcess {
  readonly plan: ProcessPlan
  readonly #printer: Printer
  readonly #reaper: Reaper
  readonly #backlog: Backlog
  #status: ProcessState = 'starting'
  #note: string | undefined
  #since = Date.now()
  #restarts = 0
  #failures = 0
  #child: Child | undefined
  #pause: NodeJS.Timeout | undefined
  #ending: Promise<void> | undefined
  #isStopped = false

  constructor(plan: ProcessPlan, printer: Printer, reaper: Reaper) {
    this.plan = plan
    this.#printer = printer
    this.#reaper = reaper
    this.#backlog = new Backlog(plan.lines)
  }

  get status(): ProcessStatus {
    const { name, service, node } = this.plan
    return {
      name,
      service,
      node: node?.origin,
      status: this.#status,
      note: this.#note,
      pid: this.#child?.pid,
      restarts: this.#restarts,
      since: new Date(this.#since).toISOString()
    }
  }

  log(count: number): readonly OutputLine[] {
    return this.#backlog.last(count)
  }

  /** Runs the build command. Resolves to whether the process may be started; undefined when it was stopped meanwhile. */
  async build(): Promise<boolean | undefined> {
    const { build } = this.plan.run
    if (this.#isStopped) return undefined
    if (build === undefined) return true
    this.#become('building')
    const ended = await new Promise<Ending>((resolve) => this.#launch(build, resolve))
    this.#child = undefined
    if (this.#isStopped) return undefined
    if (!isFailure(ended)) return true
    this.fail(`the build ${describe(ended)}`)
    return false
  }

  fail(note: string): void {
    this.#become('failed', note)
  }

  start(): void {
    if (this.#isStopped) return
    this.#become('starting')
    const { node, run } = this.plan
    const ended = new AbortController()
    this.#launch(run.command, (ending) => {
      ended.abort()
      this.#ended(ending)
    })
    const child = this.#child
    if (child?.pid !== undefined) void this.#awaitReady(child, node, ended.signal)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#pause)
    if (this.#child !== undefined) await this.#end(this.#child, this.plan.grace)
    if (this.#status !== 'failed') this.#become('stopped')
  }

  #launch(command: readonly string[], onEnd: (ending: Ending) => void): void {
    const { directory, node, run } = this.plan
    const cwd = resolve(directory, run.cwd)
    if (!existsSync(cwd)) {
      onEnd({ error: `cannot be started: there is no directory ${run.cwd}` })
      return
    }
    const env = node === undefined ? {} : { PORT: String(portOf(node)), HOST: hostOf(node) }
    let child: Child
    try {
      child = startGroup(command, cwd, { ...env, ...run.env })
    } catch {
      // An empty name or a NUL in it: Node refuses that at once, not by an event.
      onEnd({ error: 'cannot be started: the command or its environment is not valid' })
      return
    }
    this.#child = child
    readLines(child.stdout, (text) => this.#take('stdout', text, child.stdout))
    readLines(child.stderr, (text) => this.#take('stderr', text, child.stderr))
    if (child.pid !== undefined) this.#reaper.watch(child.pid)
    child.once('error', (error: NodeJS.ErrnoException) =>
      onEnd({ error: `cannot be started: ${error.code ?? 'error'} ${command[0]}` })
    )
    child.once('exit', (code, signal) => {
      // What the leader left behind still holds its port.
      void this.#end(child, 0).then(() => onEnd({ code, signal }))
    })
  }

  async #awaitReady(child: Child, node: URL | undefined, ended: AbortSignal): Promise<void> {
    const { path, timeout } = this.plan.run.ready
    const limit = AbortSignal.any([ended, AbortSignal.timeout(toMilliseconds(timeout))])
    const isReady = node === undefined || (await becomesReady(node, path, limit))
    if (this.#isStopped || ended.aborted || this.#child !== child) return
    if (isReady) {
      this.#become('running')
      return
    }
    this.#say(`not ready after ${timeout}`)
    await this.#end(child, this.plan.grace)
  }

  /** Ends the group once, whoever asks first; a stop that follows waits for the same end. */
  #end(child: Child, grace: number): Promise<void> {
    const { pid } = child
    if (pid === undefined) return Promise.resolve()
    this.#ending ??= endGroup(pid, grace).finally(() => {
      this.#reaper.forget(pid)
      this.#ending = undefined
    })
    return this.#ending
  }

  #ended(ending: Ending): void {
    const { policy, backoff, max } = this.plan.run.restart
    const hasSettled = this.#status === 'running' && Date.now() - this.#since >= settled
    this.#child = undefined
    if (this.#isStopped) return
    const note = describe(ending)
    const failed = isFailure(ending) || this.#status === 'starting'
    // What cannot be started at all is not there at the next attempt either.
    if (ending.error !== undefined || policy === 'never' || (policy === 'on-failure' && !failed)) {
      this.#become(failed ? 'failed' : 'stopped', note)
      return
    }
    this.#failures = hasSettled ? 1 : this.#failures + 1
    const delay = Math.min(toMilliseconds(backoff) * 2 ** (this.#failures - 1), toMilliseconds(max))
    this.#become('backoff', `${note}; starts again in ${delay} ms`)
    this.#pause = setTimeout(() => {
      this.#restarts += 1
      this.start()
    }, delay)
  }

  #become(status: ProcessState, note?: string): void {
    this.#status = status
    this.#note = note
    this.#since = Date.now()
    this.#say(note === undefined ? status : `${status}: ${note}`)
  }

  #say(text: string): void {
    this.#take('runtime', text)
  }

  #take(stream: OutputLine['stream'], text: string, source?: Child['stdout']): void {
    this.#backlog.add({ at: Date.now(), stream, text })
    this.#printer.print(`${this.plan.name} | ${stream === 'runtime' ? `[${text}]` : text}`, source)
  }
}

/** How a process ended: by itself or a signal, or not started at all. */
interface Ending {
  readonly code?: number | null
  readonly signal?: NodeJS.Signals | null
  readonly error?: string
}

const isFailure = (ending: Ending): boolean => ending.code !== 0

const describe = ({ code, signal, error }: Ending): string =>
  error ?? (signal ? `ended by ${signal}` : `ended with code ${code}`)
