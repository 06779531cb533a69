// What a gateway under load makes of a Kafka that goes and comes back. Run with `npm run bench:sinks -- --seconds 60 --rate 2000`.
import { parseArgs } from 'node:util'
import { outage } from '../build/test/logs/outage.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    rate: { type: 'string', default: '2000' }
  }
})
const [seconds, rate] = [Number(values.seconds), Number(values.rate)]
if (!(seconds >= 1 && seconds <= 3600 && rate >= 1 && rate <= 50_000)) {
  console.error(
    'Say --seconds 1 to 3600, how long the broker is away, and --rate 1 to 50000, requests a second.'
  )
  process.exit(2)
}
/** What the gateway is allowed: MiB. */
const mostGrowth = 50
// The settings of a config that names none but the broker.
const sink = {
  batch: {},
  timeouts: {},
  timeout: '10s',
  flush: '5s'
}

console.log(
  `${rate} requests/s; the broker is away for ${seconds} s; everything else as left out in the config\n`
)
console.log(
  'broker    span     answers/s   median ms   p99 ms   of most seconds   longest ms   RSS MiB   CPU us a request'
)
const wrong = []
for (const fault of ['killed', 'stopped']) {
  const ends = []
  try {
    const figures = await outage({ teardown: (end) => ends.unshift(end) }, fault, {
      rate,
      before: 15_000,
      during: seconds * 1000,
      after: 15_000,
      patience: 60_000,
      sink
    })
    print(fault, figures)
    check(fault, figures)
  } finally {
    for (const end of ends) await end()
  }
}
for (const sentence of wrong) console.log(`WRONG: ${sentence}`)
console.log(wrong.length === 0 ? 'As it should be.' : '')
process.exit(wrong.length === 0 ? 0 : 1)

function print(fault, figures) {
  for (const span of ['before', 'during', 'after']) {
    const { rate, median, p99, p99InMost, longest, memory, cpu } = figures[span]
    const columns = [rate.toFixed(0).padStart(9), median.toFixed(2).padStart(11), p99.toFixed(2).padStart(8)]
    columns.push(
      p99InMost.toFixed(2).padStart(17),
      longest.toFixed(1).padStart(12),
      memory.toFixed(0).padStart(9),
      cpu.toFixed(0).padStart(18)
    )
    console.log(`${fault.padEnd(9)} ${span.padEnd(6)} ${columns.join(' ')}`)
  }
  const { total, failed, unsent, growth, resumedAfter, sink, arrived } = figures
  console.log(
    `  ${total} requests, ${failed} of them failed, ${unsent} more never sent; the most memory above before: ${growth.toFixed(0)} MiB`
  )
  console.log(`  lines: ${sink.sent} sent + ${sink.dropped} dropped + ${sink.failed} refused = ${sum(sink)}`)
  console.log(
    `  ${arrived} different ones at the broker; lines flow again ${(resumedAfter / 1000).toFixed(1)} s after its return\n`
  )
}

function check(fault, { total, failed, growth, wentDown, sink, arrived, before, during }) {
  const should = (isSo, sentence) => isSo || wrong.push(`${fault}: ${sentence}`)
  should(failed === 0, `${failed} requests failed`)
  should(sum(sink) === total, `${total} requests, but ${sum(sink)} lines sent or dropped`)
  // One that is killed takes with it what nobody has read yet.
  const isWhole = fault === 'killed' || arrived >= sink.sent
  should(arrived <= total && isWhole, `${sink.sent} lines sent, ${arrived} at the broker`)
  should(wentDown || seconds < 20, 'the sink never noticed')
  should(growth <= mostGrowth, `memory grew by ${growth.toFixed(0)} MiB, ${mostGrowth} are allowed`)
  should(during.rate > rate * 0.98, `the load came to ${during.rate.toFixed(0)}/s only`)
  const [then, now] = [before.p99InMost, during.p99InMost]
  should(now < then + 5, `the p99 of most seconds went from ${then.toFixed(1)} to ${now.toFixed(1)} ms`)
}

function sum({ sent, dropped, failed }) {
  return sent + dropped + failed
}
