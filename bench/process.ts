import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** A process pinned to one core, with everything it started. */
export class Pinned {
  readonly #child: ChildProcess
  readonly #log: string

  constructor({ command, args, env }: Launch, core: number, log: string) {
    const out = openSync(log, 'w')
    this.#log = log
    this.#child = spawn('taskset', ['-c', String(core), command, ...args], {
      env: { ...process.env, NODE_ENV: 'production', ...env },
      stdio: ['ignore', out, out]
    })
    // Whoever ends the benchmark in the middle of a measurement leaves nobody behind.
    const end = () => signal(this.#family(), 'SIGTERM')
    process.once('exit', end)
    this.#child.once('close', () => process.off('exit', end))
  }

  /** Resolves once somebody listens on `port`; rejects with the end of its log when nobody does within `patience` ms. */
  async listening(port: number, patience = 20_000): Promise<void> {
    const deadline = Date.now() + patience
    while (!(await isOpen(port))) {
      if (this.#child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`it did not start: ${readFileSync(this.#log, 'utf8').slice(-400)}`)
      }
      await sleep(25)
    }
  }

  /** Nanoseconds on a core so far, all threads and children. */
  cpu(): number {
    let sum = 0
    for (const pid of this.#family()) {
      for (const task of list(`/proc/${pid}/task`)) {
        sum += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0] ?? 0)
      }
    }
    return sum
  }

  /** Resident memory in MiB, children included. */
  memory(): number {
    const sizes = this.#family().map((pid) => /VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1])
    return sizes.reduce((sum, size) => sum + Number(size ?? 0), 0) / 1024
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve))
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const family = this.#family().reverse()
    signal(family, 'SIGTERM')
    const timer = setTimeout(() => signal(family, 'SIGKILL'), 1500)
    await ended
    clearTimeout(timer)
  }

  #family(pid = this.#child.pid!): number[] {
    const children = list(`/proc/${pid}/task`).flatMap((task) =>
      read(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean)
    )
    return [pid, ...children.flatMap((child) => this.#family(Number(child)))]
  }
}

/** A port of the loopback that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name)
    } catch {
      // It is gone already.
    }
  }
}

/** Processes come and go while one looks at them. */
const read = (path: string): string => attempt(() => readFileSync(path, 'utf8')) ?? ''
const list = (path: string): string[] => attempt(() => readdirSync(path)) ?? []

function attempt<Result>(act: () => Result): Result | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
