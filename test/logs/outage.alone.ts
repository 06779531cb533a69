import t from 'tap'
import { type Fault, outage } from './outage.ts'

/** The same at full length, with the default settings and figures: `npm run bench:sinks`. */
const terms = {
  rate: 300,
  before: 2000,
  during: 10_000,
  after: 3000,
  patience: 20_000,
  // A third of what comes during the outage.
  sink: { queue: { maxBytes: '256KiB' } }
}

for (const fault of ['killed', 'stopped'] satisfies Fault[]) {
  t.test(
    `Kafka is ${fault} under load: nobody notices, each line is sent or counted, and it goes on by itself`,
    async (t) => {
      const { total, failed, unsent, growth, wentDown, sink, arrived, before, during } = await outage(
        t,
        fault,
        terms
      )
      t.ok(total > 4000, `${total} requests, ${unsent} not sent by a busy machine`)
      t.equal(failed, 0, 'all were answered')
      t.ok(wentDown, 'it was noticed')
      t.equal(sink.state, 'up')
      t.equal(sink.failed, 0)
      t.equal(sink.sent + sink.dropped, total, 'no line is lost without being counted')
      t.ok(sink.dropped > 500, `${sink.dropped} were dropped`)
      t.ok(arrived <= total)
      // A broker that is killed takes with it what nobody has read yet.
      if (fault === 'stopped') t.ok(arrived >= sink.sent, `${arrived} arrived, ${sink.sent} were sent`)
      t.ok(growth <= 50, `${Math.round(growth)} MiB more than before`)
      const [then, now] = [before.p99InMost, during.p99InMost]
      t.ok(now < then + 100, `p99 of most seconds: ${then.toFixed(1)} ms, then ${now.toFixed(1)} ms`)
    }
  )
}
