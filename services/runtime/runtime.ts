import type { Writable } from 'node:stream'
import { toMilliseconds } from '../../config/units.ts'
import { LocalProcess, type ProcessPlan, type ProcessStatus } from './local-process.ts'
import { type OutputLine, Printer } from './output.ts'
import { hostOf } from './readiness.ts'
import { Reaper } from './reaper.ts'
import type { Run, RuntimeOptions } from './slice.ts'

/** What the runtime reads of one `services` entry of an accepted config. */
export interface RunnableService {
  readonly run?: Run
  readonly nodes?: readonly (string | { readonly url: string })[]
}

export interface RuntimeConfig {
  readonly services: Readonly<Record<string, RunnableService>>
  readonly options: RuntimeOptions
  /** The directory of the config. */
  readonly directory: string
}

/** Runs the local upstream processes of the config that is served. */
export interface Runtime {
  /** Makes the processes those of this config: unchanged ones run on, changed ones restart, removed ones stop. */
  apply(config: RuntimeConfig): Promise<void>
  status(): readonly ProcessStatus[]
  /** The last lines of a process, or of all processes of a service; undefined when there is none of that name. */
  log(name: string, count: number): readonly (OutputLine & { readonly process: string })[] | undefined
  /** Stops everything; afterwards `apply` starts nothing any more. */
  close(): Promise<void>
}

/** A runtime without processes; `apply` it to a config once that config was accepted, never before. */
export function createRuntime({ output }: { readonly output: Writable }): Runtime {
  const printer = new Printer(output)
  const processes = new Map<string, LocalProcess>()
  const reaper = new Reaper()
  let isClosed = false
  let last: Promise<void> = Promise.resolve()

  const change = async (plans: readonly ProcessPlan[]): Promise<void> => {
    const wanted = new Map(plans.map((plan) => [plan.name, plan]))
    const leaving = [...processes.values()].filter(({ plan }) => !isSame(plan, wanted.get(plan.name)))
    await Promise.all(leaving.map((process) => process.stop()))
    for (const { plan } of leaving) processes.delete(plan.name)
    if (isClosed) return
    const added: LocalProcess[] = []
    for (const plan of plans) {
      if (processes.has(plan.name)) continue
      const process = new LocalProcess(plan, printer, reaper)
      processes.set(plan.name, process)
      added.push(process)
    }
    for (const service of new Set(added.map(({ plan }) => plan.service)))
      void startAll(added.filter(({ plan }) => plan.service === service))
  }

  // One change after the other: two reloads in a row must not start a process twice.
  const queue = (plans: readonly ProcessPlan[]): Promise<void> => {
    last = last.then(() => change(plans))
    return last
  }

  return {
    apply: (config) => (isClosed ? Promise.resolve() : queue(plan(config))),
    status: () => [...processes.values()].map(({ status }) => status),
    log: (name, count) => {
      const found = [...processes.values()].filter(({ plan }) => plan.name === name || plan.service === name)
      if (found.length === 0) return undefined
      const lines = found.flatMap((process) =>
        process.log(count).map((line) => ({ ...line, process: process.plan.name }))
      )
      return lines.sort((a, b) => a.at - b.at).slice(-count)
    },
    close: async () => {
      isClosed = true
      await queue([])
      printer.close()
      reaper.close()
    }
  }
}

/** The processes of one service are built once, by the first of them, or by the next where a reload has stopped that one. */
async function startAll([first, ...others]: readonly LocalProcess[]): Promise<void> {
  if (first === undefined) return
  const isBuilt = await first.build()
  if (isBuilt === undefined) return startAll(others)
  if (isBuilt) first.start()
  for (const process of others) {
    if (isBuilt) process.start()
    else process.fail('the build of the service failed')
  }
}

/** One process for each node on this machine; one without a port for a service whose nodes are elsewhere. */
function plan({ services, options, directory }: RuntimeConfig): ProcessPlan[] {
  return Object.entries(services).flatMap(([service, { run, nodes = [] }]) => {
    if (run === undefined) return []
    const local = nodes.flatMap((node) => loopback(typeof node === 'string' ? node : node.url))
    const targets = local.length === 0 ? [undefined] : local
    return targets.map((node, index) => ({
      name: targets.length === 1 ? service : `${service}.${index + 1}`,
      service,
      run,
      node,
      directory,
      grace: toMilliseconds(options.grace),
      lines: options.lines
    }))
  })
}

function loopback(node: string): URL[] {
  if (!URL.canParse(node)) return []
  const url = new URL(node)
  return /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(hostOf(url)) ? [url] : []
}

const isSame = (a: ProcessPlan, b: ProcessPlan | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b)
