import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { runToll, serving } from './running.ts'

/** A gateway in a process of its own, so that its memory and its sockets are not the test's. */
export interface OwnProcess {
  readonly origin: string
  readonly admin: string
  readonly pid: number
  /** What it has written so far. */
  log(): string
  /** Sends SIGTERM and resolves with the exit code. */
  stop(): Promise<number | null>
  /** Megabytes (2^20) of memory it holds at this moment. */
  memory(): Promise<number>
  /** TCP connections it has at this moment, the one of this question included. */
  connections(): Promise<number>
}

/** Starts a gateway with this config on free loopback ports; it ends with the test. */
export async function startOwnProcess(t: Test, config: Record<string, unknown>): Promise<OwnProcess> {
  const listen = { public: '127.0.0.1:0', admin: '127.0.0.1:0', ...(config.listen as object | undefined) }
  const running = runToll(t, ['start'], {
    'gateway.config.json': JSON.stringify({ ...config, listen, shutdown: { delay: '0s', timeout: '2s' } })
  })
  const { origin, admin } = await serving(running)
  const pid = running.child.pid!
  const figure = async (name: string): Promise<number> => {
    const text = await (await fetch(`${admin}/metrics`)).text()
    const line = text.split('\n').find((one) => one.startsWith(`tollkeeper_${name} `))
    return Number(line?.split(' ').at(-1) ?? Number.NaN)
  }
  return {
    origin,
    admin,
    pid,
    log: () => running.output.out + running.output.err,
    stop: () => {
      running.child.kill('SIGTERM')
      return running.ended
    },
    memory: async () => memoryOf(pid) ?? (await figure('process_resident_memory_bytes')) / 2 ** 20,
    connections: () => figure('nodejs_active_resources{type="TCPSocketWrap"}')
  }
}

/** Where the machine tells, without asking a process that is busy. */
function memoryOf(pid: number): number | undefined {
  try {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024
  } catch {
    return undefined
  }
}

/** The most memory it holds above `before` while something is under way. */
export async function growthDuring(
  gateway: OwnProcess,
  before: number,
  work: Promise<unknown>
): Promise<number> {
  let most = 0
  const look = async (): Promise<void> => {
    most = Math.max(most, (await gateway.memory()) - before)
  }
  const timer = setInterval(() => void look(), 50)
  try {
    await work
  } finally {
    clearInterval(timer)
  }
  await look()
  return most
}

/** Resolves once `isSo` says yes; rejects with what it was about after `patience` milliseconds. */
export async function eventually(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  patience = 15_000
): Promise<void> {
  const deadline = performance.now() + patience
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`it did not come to this: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A size of a test that may be larger by hand: TOLL_LOAD=8 makes everything eight times as many. */
export const scaled = (count: number): number => Math.ceil(count * Number(process.env.TOLL_LOAD ?? 1))
