import { createServer as createPlainServer } from 'node:net'
import { createServer } from 'node:tls'
import t, { type Test } from 'tap'
import { authority, certificate, privateKey } from '../support/certificates.ts'
import { ask } from '../support/client.ts'
import { startKafka } from '../support/kafka.ts'
import { eventually, startOwnProcess } from '../support/own-process.ts'
import {
  adminToken,
  loggingConfig,
  requestMany,
  type ShownSink,
  startLogging,
  statusUpstream
} from '../support/sinks.ts'
import { listen } from '../support/upstream.ts'

const kafka = (brokers: readonly string[], more: object = {}) => ({
  name: 'k',
  kind: 'kafka',
  brokers,
  topic: 'access',
  batch: { linger: '50ms', maxLines: 200 },
  timeouts: { connect: '500ms', request: '500ms' },
  timeout: '1s',
  flush: '500ms',
  ...more
})

const idsOf = (messages: readonly { readonly value: string }[]): string[] =>
  messages.map(({ value }) => (JSON.parse(value) as { requestId: string }).requestId)

t.test('a thousand requests are a thousand lines in the topic, with every field', async (t) => {
  const broker = await startKafka(t)
  const { request, drained } = await startLogging(t, [kafka([broker.address])])
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
    kafka([broker.address], {
      name: 'by-id',
      topic: 'by-id',
      key: 'requestId',
      compression: 'gzip',
      acks: 1
    }),
    kafka([broker.address], { name: 'by-route', topic: 'by-route', key: 'route', acks: 0 })
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
    kafka([broker.address], { queue: { maxBytes: '32KiB' }, batch: { linger: '50ms', maxBytes: '8KiB' } })
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
    kafka([first.address, second.address], {
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

t.test('a gateway starts, serves and leaves without any broker', async (t) => {
  const { request, shown, stop, log } = await startLogging(t, [kafka(['127.0.0.1:1'])])
  await request(20)
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { queued: 20, lastError: { why: 'the connection was refused' } })
  const began = performance.now()
  await stop()
  t.ok(performance.now() - began < 5000)
  t.match(log().at(-1), {
    level: 'warn',
    sink: 'k',
    dropped: 20,
    msg: 'a log sink did not take its last lines'
  })
})

t.test(
  'brokers are reached over TLS, with the authority, the name and the certificate of the config',
  async (t) => {
    const seen: (string | false | null)[] = []
    const secure = {
      cert: certificate,
      key: privateKey,
      ca: authority,
      requestCert: true,
      rejectUnauthorized: true
    }
    const server = createServer(secure, (socket) => {
      seen.push(socket.servername)
      socket.destroy()
    })
    const port = await listen(t, server)
    const tls = { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem', servername: 'up.example' }
    const files = { 'ca.pem': authority, 'cert.pem': certificate, 'key.pem': privateKey }
    const broker = `127.0.0.1:${port}`
    const { request, shown, resink } = await startLogging(t, [kafka([broker], { tls: {} })], { files })
    await request(1)
    await eventually('it is down', async () => (await shown()).state === 'down')
    t.match(await shown(), { lastError: { why: 'TLS did not come about' } })
    t.same(seen, [])
    await resink([kafka([broker], { tls })])
    await request(1, 'more')
    await eventually('it comes in', () => seen.length > 0)
    t.equal(seen[0], 'up.example')
  }
)

/** Speaks as much of Kafka's protocol as it takes to refuse a sign-in; `seen` is what was sent to sign in. */
async function refusingBroker(t: Test) {
  const seen: string[] = []
  const text = (words: string): Buffer => Buffer.concat([int16(words.length), Buffer.from(words)])
  const int16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
  const int32 = (value: number): Buffer => Buffer.from([0, 0, value >> 8, value & 255])
  const answerTo = (key: number, body: Buffer): Buffer => {
    // ApiVersions: what it can do, from which version to which.
    const able = [0, 3, 17, 18, 36].map((one) => Buffer.concat([int16(one), int16(0), int16(1)]))
    if (key === 18) return Buffer.concat([int16(0), int32(able.length), ...able, int32(0)])
    // SaslHandshake, then SaslAuthenticate: SASL_AUTHENTICATION_FAILED, with words that are nobody's business.
    if (key === 17) return Buffer.concat([int16(0), int32(1), text('PLAIN')])
    seen.push(body.subarray(4).toString())
    return Buffer.concat([int16(58), text('no ada at 10.9.8.7'), int32(0), Buffer.alloc(8)])
  }
  const server = createPlainServer((socket) => {
    let waiting = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      waiting = Buffer.concat([waiting, chunk])
      while (waiting.length >= 4 && waiting.length >= 4 + waiting.readInt32BE()) {
        const frame = waiting.subarray(4, 4 + waiting.readInt32BE())
        waiting = waiting.subarray(4 + frame.length)
        const answer = answerTo(frame.readInt16BE(), frame.subarray(10 + frame.readInt16BE(8)))
        socket.write(Buffer.concat([int32(4 + answer.length), frame.subarray(4, 8), answer]))
      }
    })
  })
  return { port: await listen(t, server), seen }
}

t.test('the gateway signs in to brokers, and tells of a refusal without their words', async (t) => {
  const { port, seen } = await refusingBroker(t)
  const sasl = { mechanism: 'plain', username: 'ada', password: 'sasl-secret' }
  const { request, shown, log } = await startLogging(t, [kafka([`127.0.0.1:${port}`], { sasl })])
  await request(1)
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { queued: 1, lastError: { why: 'it does not take these credentials' } })
  t.equal(seen[0], '\0ada\0sasl-secret')
  t.notMatch(JSON.stringify(log()), /sasl-secret|10\.9\.8\.7/)
})

t.test(
  'a process whose broker hangs keeps few connections, and leaves in time with what it cannot send',
  async (t) => {
    const broker = await startKafka(t)
    const { url } = await statusUpstream(t)
    const gateway = await startOwnProcess(
      t,
      loggingConfig(url, [kafka([broker.address], { timeout: '300ms' })])
    )
    await requestMany(gateway.origin, 20)
    const state = async () => {
      const { body } = await ask('GET', `${gateway.admin}/admin/logs/sinks`, { token: adminToken })
      return (body.sinks as unknown as ShownSink[])[0]!
    }
    await eventually('they are sent', async () => (await state()).sent === 20)
    broker.pause()
    t.teardown(() => broker.resume())
    await requestMany(gateway.origin, 200)
    await eventually('it is down', async () => (await state()).state === 'down')
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const connections = await gateway.connections()
    t.ok(connections < 30, `${connections} connections`)
    const began = performance.now()
    t.equal(await gateway.stop(), 0)
    t.ok(performance.now() - began < 6000)
    for (const words of ['a fault nobody caught', 'Warning', broker.address]) t.notMatch(gateway.log(), words)
  }
)
