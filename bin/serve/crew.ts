import { fileURLToPath } from 'node:url'
import { LineWriter } from '../../services/telemetry/line-writer.ts'
import { createLog } from '../../services/telemetry/log.ts'
import { WorkerFailed } from '../../services/workers/member.ts'
import { Primary } from '../../services/workers/primary.ts'
import { type Predecessor, startSuccessor } from '../../services/workers/succession.ts'
import { handOver } from './hand-over.ts'
import type { ServeOptions } from './serve.ts'

/** Serves with several workers until asked to leave. This process listens, collects their lines, and replaces those that end. */
export async function serveTogether(
  { path, format }: ServeOptions,
  count: number,
  asked: Promise<void>,
  predecessor: Predecessor | undefined
): Promise<number> {
  const lines = new LineWriter(process.stdout)
  const orders = { path, isTerminal: process.stdout.isTTY, ...(format !== undefined && { format }) }
  let primary: Primary
  const over = handOver(asked, () => startSuccessor(primary.inheritance))
  try {
    primary = await Primary.start({
      program: fileURLToPath(new URL('worker.js', import.meta.url)),
      count,
      orders,
      output: process.stdout,
      speak: (format, level) => createLog(lines, format, level),
      inherit: predecessor?.inherit,
      upgrade: over.upgrade
    })
  } catch (error) {
    if (error instanceof WorkerFailed) return error.code
    throw error
  }
  const { log } = primary
  log.info({ workers: primary.workers.length, pid: process.pid }, 'workers serve')
  predecessor?.leave()
  process.on('SIGHUP', () => void primary.reload('SIGHUP'))
  const code = await primary.stop(await over.left(log))
  log.info('left')
  lines.close()
  return code
}
