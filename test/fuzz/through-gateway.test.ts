import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { transports } from '../support/transports.ts'
import { configFor } from '../support/upstream.ts'
import type { Tally } from './hunt.ts'
import { Replay } from './oracles.ts'
import { Random } from './random.ts'
import { recordedAnswers } from './recorded-answers.ts'
import { probeUntil } from './through-gateway.ts'

const seed = Number(process.env.TOLL_SEED ?? Date.now() % 1_000_000_007)

const service = {
  timeouts: { connect: '5s', response: '5s', idle: '5s' },
  retry: { attempts: 0 },
  health: { eject: '0s' }
}

for (const transport of transports) {
  t.test(
    `${transport}: clients get what the parser read, and never a byte of another answer (seed ${seed})`,
    async (t) => {
      const replay = await Replay.start()
      t.teardown(() => replay.close())
      const { origin } = await startGateway(
        t,
        configFor([`http://127.0.0.1:${replay.port}`], { service: { ...service, transport } })
      )
      const tally: Tally = new Map()
      const random = new Random(seed)
      const deadline = performance.now() + 4000
      const tools = { replay, random, recorded: recordedAnswers(), tally }
      const count = await probeUntil(deadline, origin, tools, (complaint) => t.fail(complaint))
      t.ok(count > 0)
      t.comment(JSON.stringify(Object.fromEntries(tally)))
    }
  )
}
