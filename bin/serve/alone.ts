import { Gateway } from '../../gateway.ts'
import { LineWriter } from '../../services/telemetry/line-writer.ts'
import { OwnEntrance } from '../../services/workers/entrance.ts'
import { type Predecessor, startSuccessor } from '../../services/workers/succession.ts'
import { tellFailure } from './failure.ts'
import { handOver } from './hand-over.ts'
import type { ServeOptions } from './serve.ts'
import { speechOf, surviveFaults } from './speech.ts'

/** Serves in this process until it is asked to leave. */
export async function serveAlone(
  { path, runtime = false, format, onServing }: ServeOptions,
  asked: Promise<void>,
  predecessor: Predecessor | undefined
): Promise<number> {
  const lines = new LineWriter(process.stdout)
  const entrance = new OwnEntrance(predecessor?.inherit)
  const voice = { lines, format, isTerminal: process.stdout.isTTY, isDemo: runtime }
  let gateway: Gateway
  const over = handOver(asked, () =>
    startSuccessor({ listen: gateway.config.value.listen, servers: entrance.servers })
  )
  try {
    gateway = await Gateway.start({
      path,
      output: process.stdout,
      runtime,
      entrance,
      processes: { upgrade: over.upgrade },
      speak: (loaded) => speechOf(loaded, voice)
    })
  } catch (error) {
    lines.close()
    return tellFailure(error)
  }
  const { log, addresses, config } = gateway
  onServing?.(gateway)
  log.info({ ...addresses, revision: config.revision, pid: process.pid }, 'serving')
  predecessor?.leave()
  process.on('SIGHUP', () => void gateway.reload('SIGHUP'))
  surviveFaults(log)
  await gateway.stop({ soon: await over.left(log) })
  log.info('left')
  lines.close()
  return 0
}
