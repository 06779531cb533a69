import { setTimeout as sleep } from 'node:timers/promises'
import { Asking } from './asking.ts'
import { type Driver, startCluster } from './cluster.ts'
import { Crowd } from './crowd.ts'
import type { Seen } from './history.ts'

export interface RecordOptions {
  readonly driver: Driver
  /** Ends after so many refreshes ... */
  readonly refreshes: number
  /** ... or so many milliseconds, whichever is first ... */
  readonly within: number
  /** ... but not before enough has happened to say something; a busy machine gets five times as long. */
  readonly isEnough?: (history: readonly Seen[]) => boolean
  readonly clients?: number
  /** Milliseconds of calm between two faults. */
  readonly calm?: number
  readonly onProgress?: (refreshed: number) => void
}

/** Lets a crowd loose on gateways while their store and they themselves fail, and writes down what was seen. */
export async function record(
  t: { teardown(handler: () => unknown): void },
  { driver, refreshes, within, clients = 24, calm = 500, isEnough = () => true, onProgress }: RecordOptions
): Promise<{ readonly history: readonly Seen[]; readonly refreshed: number; readonly seconds: number }> {
  const cluster = await startCluster(t, driver)
  const asking = new Asking()
  const startedAt = performance.now()
  let isOver = false
  const crowd = new Crowd(cluster, asking, () => isOver)
  const faults = (async () => {
    while (!isOver) {
      await sleep(calm)
      // The last fault is over before the crowd is: what it broke must show.
      if (!isOver) crowd.history.push(await cluster.disturb())
    }
  })()
  const watch = (async () => {
    const isDone = (): boolean => {
      const past = performance.now() - startedAt
      if (past > 5 * within) return true
      return (crowd.refreshed >= refreshes || past > within) && isEnough(crowd.history)
    }
    while (!isDone()) {
      await sleep(100)
      onProgress?.(crowd.refreshed)
    }
    isOver = true
  })()
  const people = [
    ...Array.from({ length: clients }, () => crowd.honest()),
    ...Array.from({ length: Math.ceil(clients / 6) }, () => crowd.ghost())
  ]
  await Promise.all([watch, faults, ...people])
  await asking.close()
  const seconds = (performance.now() - startedAt) / 1000
  return { history: crowd.history, refreshed: crowd.refreshed, seconds }
}
