import { parseArgs } from 'node:util'
import { startGateway } from '../support/gateway.ts'
import { configFor } from '../support/upstream.ts'
import type { AnswerCase } from './answer-case.ts'
import { complaintOf, judge, nextCase, type Tally } from './hunt.ts'
import { Replay } from './oracles.ts'
import { Random } from './random.ts'
import { recordedAnswers } from './recorded-answers.ts'
import { crowdedService, probedService, probeUntil } from './through-gateway.ts'

/**
 * `npm run fuzz -- --seconds 600 --seed 7`, or `--case '{...}'` for one that was printed. With `--through http-proxy` a gateway stands between,
 * whose service has that transport, and with `--crowded` two connections for everybody.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    case: { type: 'string' },
    through: { type: 'string' },
    crowded: { type: 'boolean', default: false },
    most: { type: 'string', default: '10' }
  }
})

const seed = Number(values.seed ?? Date.now() % 1_000_000_007)
const random = new Random(seed)
const replay = await Replay.start()
const tally: Tally = new Map()
let count = 0
let bad = 0

if (values.case !== undefined) {
  const judged = await judge(random, JSON.parse(values.case) as AnswerCase, replay, tally)
  console.log(complaintOf(judged))
  bad = judged.complaints.length
} else if (values.through !== undefined) {
  console.log(`seed ${seed}`)
  const endings: (() => unknown)[] = []
  const config = configFor([`http://127.0.0.1:${replay.port}`], {
    service: { ...(values.crowded ? crowdedService : probedService), transport: values.through }
  })
  const { origin } = await startGateway(
    { teardown: (end: () => unknown) => endings.push(end) } as never,
    config
  )
  const deadline = performance.now() + Number(values.seconds) * 1000
  const tools = { replay, random, recorded: recordedAnswers(), tally, mayRefuse: values.crowded }
  count = await probeUntil(deadline, origin, tools, (complaint) => {
    bad += 1
    console.log(complaint)
  })
  console.log(`${count} answers, ${bad} of them came through otherwise than they may`)
  for (const end of endings) await end()
} else {
  console.log(`seed ${seed}`)
  const recorded = recordedAnswers()
  const deadline = performance.now() + Number(values.seconds) * 1000
  while (performance.now() < deadline && bad < Number(values.most)) {
    const batch = Array.from({ length: 40 }, () => nextCase(random, recorded))
    for (const judged of await Promise.all(batch.map((one) => judge(random, one, replay, tally)))) {
      count += 1
      if (judged.complaints.length === 0) continue
      bad += 1
      console.log(complaintOf(judged))
    }
  }
  console.log(`${count} answers, ${bad} of them read otherwise than they may be`)
}
replay.close()
for (const [key, number] of [...tally].sort()) console.log(`${String(number).padStart(8)}  ${key}`)
process.exitCode = bad === 0 ? 0 : 1
