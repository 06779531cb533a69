import { availableParallelism } from 'node:os'
import { peek } from '../../config/peek.ts'
import type { Gateway } from '../../gateway.ts'
import type { LogFormat } from '../../services/telemetry/log.ts'
import { predecessorOf } from '../../services/workers/succession.ts'
import { askedToLeave } from '../leave.ts'

export interface ServeOptions {
  readonly path: string
  /** Starts the processes of `services.X.run`, and serves in one process. */
  readonly runtime?: boolean
  /** Overrides the config's log format. */
  readonly format?: LogFormat
  /** Called once it serves, before the first line of the log. */
  readonly onServing?: (gateway: Gateway) => void
}

/** Runs a gateway until a signal ends it. Resolves with the exit code: 0 after a drain, 1 when it could not start, 2 for a refused config. */
export async function serve(options: ServeOptions): Promise<number> {
  // From here on a signal waits until the gateway can be stopped whole.
  const asked = askedToLeave()
  const predecessor = predecessorOf()
  const count = options.runtime === true ? 1 : workersOf(await peek(options.path, 'workers'))
  // Who only hands out connections need not load what serves them.
  if (count === 1) return (await import('./alone.ts')).serveAlone(options, asked, predecessor)
  return (await import('./crew.ts')).serveTogether(options, count, asked, predecessor)
}

/** How many processes; what makes no sense is told by the one that then loads the config. */
function workersOf(written: unknown): number {
  if (written === 'auto') return availableParallelism()
  const count = Number(written ?? 1)
  return Number.isInteger(count) && count >= 1 && count <= 256 ? count : 1
}
