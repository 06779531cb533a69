import { Gateway } from '../../gateway.ts'
import { LineWriter } from '../../services/telemetry/line-writer.ts'
import { Worker } from '../../services/workers/worker.ts'
import { tellFailure } from './failure.ts'
import { speechOf, surviveFaults } from './speech.ts'

/** What each worker runs: a gateway whose connections its primary brings. It ends with 0 after a drain, and like `toll start` otherwise. */
const worker = new Worker()
const { path, number, text, format, isTerminal } = await worker.started
const lines = new LineWriter(process.stdout)
const voice = { lines, format, isTerminal, isQuiet: number > 1 }
let gateway: Gateway | undefined
try {
  gateway = await Gateway.start({
    path,
    text,
    output: process.stdout,
    entrance: worker,
    processes: { crew: worker, upgrade: () => worker.upgrade() },
    speak: (loaded) => {
      const speech = speechOf(loaded, voice)
      worker.speaks({ format: speech.format, level: loaded.value.log.level })
      return speech
    }
  })
} catch (error) {
  lines.close()
  process.exitCode = tellFailure(error)
}
if (gateway !== undefined) {
  const { log, addresses, config } = gateway
  log.info({ ...addresses, revision: config.revision, worker: number, pid: process.pid }, 'serving')
  surviveFaults(log)
  worker.serve()
  const { soon } = await worker.told
  log.info({ worker: number, pid: process.pid }, 'a worker is leaving')
  await gateway.stop({ soon })
  log.info({ worker: number, pid: process.pid }, 'a worker has left')
  lines.close()
}
process.exit()
