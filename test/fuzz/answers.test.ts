import t from 'tap'
import { printed } from './answer-case.ts'
import { complaintOf, judge, nextCase, type Tally } from './hunt.ts'
import { Replay } from './oracles.ts'
import { readOwn } from './own-reader.ts'
import { Random } from './random.ts'
import { recordedAnswers } from './recorded-answers.ts'

/** Whoever wants the same cases again says TOLL_SEED; more of them and for longer: `npm run fuzz`. */
const seed = Number(process.env.TOLL_SEED ?? Date.now() % 1_000_000_007)
const recorded = recordedAnswers()

t.test('what real servers say is accepted, however it is cut', async (t) => {
  t.ok(recorded.length > 30)
  const random = new Random(seed)
  for (const one of recorded) {
    const { verdict, complaint } = readOwn(random, one)
    t.equal(complaint, undefined, printed(one))
    t.equal(verdict.kind, 'accepted', printed(one))
  }
})

t.test(
  `an answer that two other readers refuse is refused, and one they accept is read like them (seed ${seed})`,
  async (t) => {
    const random = new Random(seed)
    const replay = await Replay.start()
    t.teardown(() => replay.close())
    const tally: Tally = new Map()
    const deadline = performance.now() + 9000
    let bad = 0
    while (performance.now() < deadline && bad < 5) {
      const batch = Array.from({ length: 40 }, () => nextCase(random, recorded))
      for (const judged of await Promise.all(batch.map((one) => judge(random, one, replay, tally)))) {
        if (judged.complaints.length === 0) continue
        bad += 1
        t.fail(complaintOf(judged))
      }
    }
    t.ok((tally.get('own: accepted') ?? 0) > 0, 'some are accepted')
    t.comment(JSON.stringify(Object.fromEntries(tally)))
  }
)

t.test(`no way to cut an answer changes what is read (seed ${seed})`, async (t) => {
  const random = new Random(seed + 1)
  const deadline = performance.now() + 4000
  let bad = 0
  while (performance.now() < deadline && bad < 5) {
    const one = nextCase(random, recorded)
    const { complaint } = readOwn(random, one)
    if (complaint === undefined) continue
    bad += 1
    t.fail(`${printed(one)}\n  ${complaint}`)
  }
  t.equal(bad, 0)
})
