import t from 'tap'
import { ask } from '../support/client.ts'
import { kafkaSink, startKafka } from '../support/kafka.ts'
import { eventually } from '../support/own-process.ts'
import { startLogging } from '../support/sinks.ts'

const idsOf = (messages: readonly { readonly value: string }[]): string[] =>
  messages.map(({ value }) => (JSON.parse(value) as { requestId: string }).requestId)

t.test('a thousand requests are a thousand lines in the topic, with every field', async (t) => {
  const broker = await startKafka(t)
  const { request, drained } = await startLogging(t, [kafkaSink([broker.address])])
  await request(1000)
  t.match(await drained(), { kind: 'kafka', state: 'up', sent: 1000, dropped: 0, failed: 0 })
  const messages = await broker.read('access')
  t.equal(messages.length, 1000)
  t.equal(new Set(idsOf(messages)).size, 1000)
  for (const { key, value } of messages) {
    t.equal(key, '')
    t.match(JSON.parse(value), {
      time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
      level: 'info',
      msg: 'request',
      requestId: /^r\d+$/,
      client: '127.0.0.1',
      method: 'GET',
      host: '127.0.0.1',
      path: '/open/x',
      status: 200,
      duration: Number,
      route: 'open',
      service: 'up',
      node: String,
      upstream: Number,
      verdict: 'allowed'
    })
  }
})

t.test('messages have the key that is asked for, in batches that are compressed', async (t) => {
  const broker = await startKafka(t)
  const { origin, drained, request } = await startLogging(t, [
    kafkaSink([broker.address], {
      name: 'by-id',
      topic: 'by-id',
      key: 'requestId',
      compression: 'gzip',
      acks: 1
    }),
    kafkaSink([broker.address], { name: 'by-route', topic: 'by-route', key: 'route', acks: 0 })
  ])
  await request(30)
  await ask('GET', `${origin}/nowhere`, { headers: { 'x-request-id': 'miss' } })
  await eventually('all are sent', async () => (await drained('by-id')).sent === 31)
  await eventually('all are sent', async () => (await drained('by-route')).sent === 31)
  const byId = await broker.read('by-id')
  t.equal(byId.length, 31)
  t.ok(byId.every(({ key, value }) => key === JSON.parse(value).requestId))
  await eventually('they arrive', async () => (await broker.read('by-route')).length === 31)
  const byRoute = await broker.read('by-route')
  t.same(byRoute.map(({ key }) => key).sort(), ['', ...Array.from({ length: 30 }, () => 'open')])
})

t.test('while a broker says nothing the queue is bounded, and lines go on by themselves', async (t) => {
  const broker = await startKafka(t)
  const maxBytes = 32 * 1024
  const { request, shown, drained } = await startLogging(t, [
    kafkaSink([broker.address], { queue: { maxBytes: '32KiB' }, batch: { linger: '50ms', maxBytes: '8KiB' } })
  ])
  await request(50, 'before')
  t.equal((await drained()).sent, 50)
  broker.pause()
  t.teardown(() => broker.resume())
  for (let round = 0; round < 5; round += 1) {
    await request(100, `during${round}-`)
    t.ok((await shown()).queuedBytes <= maxBytes)
  }
  await eventually('it is down', async () => (await shown()).state === 'down')
  const down = await shown()
  t.match(down.lastError, { why: 'it took too long' })
  t.ok(down.dropped > 100, `${down.dropped} dropped`)
  t.equal(down.sent + down.dropped + down.queued, 550)
  broker.resume()
  await request(50, 'after')
  const after = await drained()
  t.equal(after.state, 'up')
  t.equal(after.sent + after.dropped, 600)
  t.equal(after.dropped + after.sent, 600)
  const ids = new Set(idsOf(await broker.read('access')))
  // What was under way when the broker stopped may have arrived as well, and been sent again.
  t.ok(ids.size >= after.sent, `${ids.size} lines, ${after.sent} sent`)
  for (let number = 0; number < 50; number += 1) {
    t.ok(ids.has(`before${number}`) && ids.has(`after${number}`))
  }
})

t.test('a broker that is killed is replaced by another one of the list', async (t) => {
  const first = await startKafka(t)
  const second = await startKafka(t)
  second.pause()
  const { origin, request, shown, drained, log } = await startLogging(t, [
    kafkaSink([first.address, second.address], {
      queue: { maxBytes: '32KiB' },
      batch: { linger: '50ms', maxBytes: '8KiB' }
    })
  ])
  await request(50, 'before')
  t.equal((await drained()).sent, 50)
  t.equal(new Set(idsOf(await first.read('access'))).size, 50)
  await first.kill()
  for (let round = 0; round < 4; round += 1) {
    await request(100, `during${round}-`)
    t.ok((await shown()).queuedBytes <= 32 * 1024)
  }
  await eventually('it is down', async () => (await shown()).state === 'down')
  second.resume()
  await request(20, 'after')
  const after = await drained()
  t.equal(after.sent + after.dropped, 470)
  t.ok(after.dropped > 100)
  const ids = new Set(idsOf(await second.read('access')))
  t.equal(ids.size, after.sent - 50)
  for (let number = 0; number < 20; number += 1) t.ok(ids.has(`after${number}`))
  // Neither an address of a broker nor a word of its client is in the log.
  const told = JSON.stringify(log().filter(({ sink }) => sink === 'k'))
  t.match(told, 'a log sink takes no lines')
  for (const { address } of [first, second]) t.notMatch(told, address.split(':')[1]!)
  t.equal((await ask('GET', `${origin}/open/x`)).status, 200)
})
