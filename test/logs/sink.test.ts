import t from 'tap'
import { type Delivery, DeliveryError } from '../../services/logs/delivery.ts'
import { SinkFigures } from '../../services/logs/figures.ts'
import type { Line } from '../../services/logs/line-queue.ts'
import { LineQueue } from '../../services/logs/line-queue.ts'
import { Sink, type SinkTerms } from '../../services/logs/sink.ts'
import { eventually } from '../support/own-process.ts'

/** A place for lines that does as it is told. */
class Place implements Delivery {
  readonly batches: string[][] = []
  answer: (lines: readonly string[], signal: AbortSignal) => Promise<void> = async () => {}
  isClosed = false

  async deliver(batch: readonly Line[], signal: AbortSignal): Promise<void> {
    const lines = batch.map(({ text }) => text)
    await this.answer(lines, signal)
    this.batches.push(lines)
  }

  close(): void {
    this.isClosed = true
  }
}

const terms: SinkTerms = {
  name: 'a',
  kind: 'test',
  sample: 1,
  maxBytes: 1000,
  batch: { maxLines: 10, maxBytes: 500, linger: 10 },
  timeout: 1000,
  flush: 500
}

function newSink(changed: Partial<SinkTerms> = {}, random = () => 0) {
  const place = new Place()
  const changes: (string | undefined)[] = []
  const figures = new SinkFigures()
  const sink = new Sink({ ...terms, ...changed }, place, {
    figures,
    onChange: (_sink, why) => changes.push(why),
    random
  })
  return { sink, place, changes, figures }
}

const refuse = (options?: ConstructorParameters<typeof DeliveryError>[1]) => async () => {
  throw new DeliveryError('it is away', options)
}

const total = ({ sent, dropped, failed, sampled }: SinkFigures): number => sent + dropped + failed + sampled

t.test('a queue never holds more than its bytes, those on their way included', async (t) => {
  const queue = new LineQueue(100)
  for (let index = 0; index < 10; index += 1) t.equal(queue.push('0123456789'), 0)
  t.equal(queue.push('abcdefghij'), 1, 'the oldest goes')
  t.equal(queue.bytes, 100)
  const taken = queue.take(5, 1000)
  t.equal(queue.bytes, 100, 'what is on its way counts')
  t.equal(queue.push('x'.repeat(60)), 6, 'what waits is dropped, and a line that fits nowhere itself')
  t.equal(queue.bytes, 50)
  queue.putBack(taken)
  t.same([queue.bytes, queue.length, queue.waiting], [50, 5, 5])
  t.same(
    queue.take(2, 1000).map(({ text }) => text),
    ['0123456789', '0123456789']
  )
  t.equal(queue.take(10, 5).length, 1, 'one at least')
  t.equal(new LineQueue(5).push('abcdef'), 1, 'too long for any queue')
})

t.test('a queue keeps its order over thousands of lines, whatever is dropped and put back', async (t) => {
  const queue = new LineQueue(40_000)
  const seen: number[] = []
  let next = 0
  for (let round = 0; round < 300; round += 1) {
    for (let count = 0; count < 50; count += 1, next += 1) queue.push(String(next).padStart(10, '0'))
    const batch = queue.take(30, 1e6)
    if (round % 3 === 0) queue.putBack(batch)
    else {
      seen.push(...batch.map(({ text }) => Number(text)))
      queue.settle(batch)
    }
    t.ok(queue.bytes <= 40_000)
  }
  t.ok(seen.every((number, index) => index === 0 || number > seen[index - 1]!))
  t.ok(seen.length > 5000)
})

t.test('bytes are those of UTF-8', async (t) => {
  const queue = new LineQueue(100)
  queue.push('ü€')
  t.equal(queue.bytes, 5)
})

t.test('lines go in order, in batches, and those left over after a moment', async (t) => {
  const { sink, place, figures } = newSink()
  for (let index = 0; index < 25; index += 1) sink.offer(`line ${index}`)
  t.equal(place.batches.length, 0, 'nothing is done in the turn of whoever offers')
  await eventually('all are sent', () => figures.sent === 25)
  t.same(
    place.batches.map((batch) => batch.length),
    [10, 10, 5]
  )
  t.same(
    place.batches.flat(),
    Array.from({ length: 25 }, (_, index) => `line ${index}`)
  )
  t.equal(sink.state, 'up')
  await sink.close()
  t.ok(place.isClosed)
})

t.test('what is not taken is tried again, in order, and the sink resumes by itself', async (t) => {
  const { sink, place, figures, changes } = newSink()
  place.answer = refuse()
  for (let index = 0; index < 15; index += 1) sink.offer(`line ${index}`)
  await eventually('it is down', () => sink.state === 'down')
  t.match(sink.lastError, { why: 'it is away', at: /^\d{4}-.*Z$/ })
  t.equal(sink.queued, 15)
  place.answer = async () => {}
  await eventually('all are sent', () => figures.sent === 15)
  t.same(
    place.batches.flat(),
    Array.from({ length: 15 }, (_, index) => `line ${index}`)
  )
  t.same(changes, ['it is away', undefined], 'it is told once that it went and once that it came back')
  await sink.close()
})

t.test('while a sink is away the newest lines are kept and the rest is counted', async (t) => {
  const { sink, place, figures } = newSink()
  place.answer = refuse()
  for (let index = 0; index < 1000; index += 1) {
    sink.offer(`line ${String(index).padStart(5, '0')}`)
    t.ok(sink.queuedBytes <= 1000)
    if (index % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 2))
  }
  t.equal(sink.queued, 100)
  t.equal(figures.dropped, 900)
  place.answer = async () => {}
  await eventually('all are sent', () => figures.sent === 100)
  t.equal(place.batches.flat().at(-1), 'line 00999')
  t.equal(total(figures), 1000)
  await sink.close()
})

t.test(
  'a batch that is too large is taken apart, and a line that is too large alone is given up',
  async (t) => {
    const { sink, place, figures } = newSink()
    place.answer = async (lines) => {
      if (lines.length > 3 || lines.includes('huge')) {
        throw new DeliveryError('too large', { retry: 'too large' })
      }
    }
    for (let index = 0; index < 10; index += 1) sink.offer(index === 4 ? 'huge' : `line ${index}`)
    await eventually('all are settled', () => sink.queued === 0)
    t.same([figures.sent, figures.failed], [9, 1])
    t.ok(place.batches.every((batch) => batch.length <= 3))
    await sink.close()
  }
)

t.test('lines that are refused for good are counted as failed and are in no one’s way', async (t) => {
  const { sink, place, figures } = newSink()
  place.answer = async (lines) => {
    if (lines.includes('bad')) throw new DeliveryError('it answered 400', { retry: 'never' })
  }
  sink.offer('bad')
  await eventually('it is settled', () => figures.failed === 1)
  sink.offer('good')
  await eventually('it is settled', () => figures.sent === 1)
  t.same(place.batches, [['good']])
  await sink.close()
})

t.test('a place that refuses everything for good is not asked without pause', async (t) => {
  const { sink, place, figures } = newSink()
  let calls = 0
  place.answer = async () => {
    calls += 1
    throw new DeliveryError('it answered 413', { retry: calls % 2 === 0 ? 'too large' : 'never' })
  }
  for (let index = 0; index < 100; index += 1) sink.offer(`line ${index}`)
  await new Promise((resolve) => setTimeout(resolve, 150))
  t.equal(calls, 1)
  t.equal(figures.failed, 10)
  await sink.close()
})

t.test('a delivery that never ends is given up in time', async (t) => {
  const { sink, place, figures } = newSink({ timeout: 50 })
  let calls = 0
  place.answer = () => {
    calls += 1
    return calls === 1 ? new Promise(() => {}) : Promise.resolve()
  }
  sink.offer('line')
  await eventually('it is sent', () => figures.sent === 1)
  t.match(sink.lastError, { why: 'it took too long' })
  await sink.close()
})

t.test('a sample leaves ordinary lines out and no others', async (t) => {
  const draws = [0.1, 0.9, 0.3, 0.6]
  let draw = 0
  const { sink, place, figures } = newSink({ sample: 0.5 }, () => draws[draw++ % 4]!)
  for (let index = 0; index < 4; index += 1) sink.offer(`ordinary ${index}`, true)
  sink.offer('refusal')
  await sink.close()
  t.same(place.batches.flat(), ['ordinary 0', 'ordinary 2', 'refusal'])
  t.same([figures.sent, figures.sampled], [3, 2])
})

t.test('catching up leaves as much time to requests as it takes from them', async (t) => {
  const { sink, place, figures } = newSink({ maxBytes: 100_000 })
  place.answer = refuse()
  for (let index = 0; index < 500; index += 1) sink.offer(`line ${index}`)
  await eventually('it is down', () => sink.state === 'down')
  place.answer = async () => {
    const end = performance.now() + 15
    while (performance.now() < end);
  }
  await eventually('it goes on', () => figures.sent > 0)
  const began = performance.eventLoopUtilization()
  await eventually('all are sent', () => figures.sent === 500)
  const { utilization } = performance.eventLoopUtilization(began)
  t.ok(utilization < 0.8, `the loop was busy for ${Math.round(utilization * 100)} % of the time`)
  await sink.close()
})

t.test('leaving, a sink hands over what waits', async (t) => {
  const { sink, place, figures } = newSink({ batch: { ...terms.batch, linger: 60_000 } })
  for (let index = 0; index < 25; index += 1) sink.offer(`line ${index}`)
  sink.offer('the last')
  t.equal(await sink.close(), 0)
  t.equal(place.batches.flat().at(-1), 'the last')
  t.equal(figures.sent, 26)
  sink.offer('too late')
  t.equal(figures.dropped, 1)
})

for (const [what, answer] of [
  ['refuses', refuse()],
  ['refuses for an hour', refuse({ after: 3_600_000 })],
  ['says nothing', () => new Promise<void>(() => {})]
] as const) {
  t.test(`leaving, a place that ${what} is waited for no longer than "flush" says`, async (t) => {
    const { sink, place, figures } = newSink({ flush: 300, timeout: 60_000 })
    place.answer = answer
    for (let index = 0; index < 15; index += 1) sink.offer(`line ${index}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    const began = performance.now()
    t.equal(await sink.close(), 15)
    const took = performance.now() - began
    t.ok(took > 250 && took < 2000, `${Math.round(took)} ms`)
    t.equal(figures.dropped, 15)
    t.equal(sink.queued, 0)
    t.ok(place.isClosed)
  })
}

t.test('a place that takes nothing costs the memory of its queue, whatever is offered', async (t) => {
  const { sink, place, figures } = newSink({ maxBytes: 2 * 1024 ** 2, timeout: 60_000, flush: 10 })
  place.answer = () => new Promise(() => {})
  const before = process.memoryUsage().heapUsed
  const count = 400_000
  for (let index = 0; index < count; index += 1) {
    // As the access log does, out of many pieces: 600 bytes.
    let line = `{"n":${index}`
    for (let piece = 0; piece < 20; piece += 1) line += `,"field${piece}":"${'value'.repeat(3)}"`
    sink.offer(`${line}}`)
    if (index % 1000 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  t.ok(sink.queuedBytes <= 2 * 1024 ** 2)
  t.equal(figures.dropped + sink.queued, count)
  const growth = (process.memoryUsage().heapUsed - before) / 2 ** 20
  t.ok(growth < 100, `${Math.round(growth)} MiB, of 230 MiB that were offered`)
  await sink.close()
  t.equal(figures.dropped, count)
})
