import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { transports } from '../support/transports.ts'
import { configFor } from '../support/upstream.ts'
import type { Tally } from './hunt.ts'
import { Replay } from './oracles.ts'
import { Random } from './random.ts'
import { recordedAnswers } from './recorded-answers.ts'
import { crowdedService, probedService, probeUntil } from './through-gateway.ts'

const seed = Number(process.env.TOLL_SEED ?? Date.now() % 1_000_000_007)

async function probe(t: Test, service: object, mayRefuse: boolean): Promise<void> {
  const replay = await Replay.start()
  t.teardown(() => replay.close())
  const { origin } = await startGateway(t, configFor([`http://127.0.0.1:${replay.port}`], { service }))
  const tally: Tally = new Map()
  const tools = { replay, random: new Random(seed), recorded: recordedAnswers(), tally, mayRefuse }
  const count = await probeUntil(performance.now() + 3000, origin, tools, (complaint) => t.fail(complaint))
  t.ok(count > 0)
  t.ok((tally.get('accepted -> accepted') ?? 0) > 0)
  t.comment(JSON.stringify(Object.fromEntries(tally)))
}

for (const transport of transports) {
  t.test(
    `${transport}: clients get what the parser read, and the next answer is the next request's (seed ${seed})`,
    (t) => probe(t, { ...probedService, transport }, false)
  )

  t.test(
    `${transport}: no byte of an answer meets a request that waits for its connection (seed ${seed})`,
    (t) => probe(t, { ...crowdedService, transport }, true)
  )
}
