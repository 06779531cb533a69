import { setTimeout as sleep } from 'node:timers/promises'
import type { Candidate } from './candidates.ts'
import { type Seen, sendLoad } from './load.ts'
import { Pinned } from './process.ts'
import type { Scenario } from './scenarios.ts'
import type { Workspace } from './workspace.ts'

/** One candidate in one round. */
export interface Sample extends Seen {
  /** Microseconds of CPU a request, threads and children included. */
  readonly cpu: number
  /** Resident memory in MiB after the load. */
  readonly memory: number
  /** Share of the core that was used: rates compare only where it is about 1. */
  readonly busy: number
}

/** The gateway has one core to itself; whoever sends, answers and stores shares the other. */
export const gatewayCore = 0
export const otherCore = 1

const warmUp = 2

/** Starts a candidate, lets it warm up, measures it under load, and stops it. */
export async function measure(
  workspace: Workspace,
  candidate: Candidate,
  scenario: Scenario,
  seconds: number
): Promise<Sample> {
  const { gate, routes, load } = scenario
  const gateway = new Pinned(
    candidate.launch({ workspace, gate, routes }),
    gatewayCore,
    `${workspace.directory}/candidate.log`
  )
  try {
    await gateway.listening(workspace.ports.gateway)
    await sleep(150)
    await sendLoad(workspace, load, { seconds: warmUp, core: otherCore })
    const before = { cpu: gateway.cpu(), at: process.hrtime.bigint() }
    const seen = await sendLoad(workspace, load, { seconds, core: otherCore })
    const used = gateway.cpu() - before.cpu
    const passed = Number(process.hrtime.bigint() - before.at)
    if (seen.requests === 0) throw new Error('it answered no request')
    return { ...seen, cpu: used / 1000 / seen.requests, memory: gateway.memory(), busy: used / passed }
  } finally {
    await gateway.stop()
  }
}
