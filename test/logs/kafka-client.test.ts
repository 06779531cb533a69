import { createServer as createPlainServer } from 'node:net'
import { createServer } from 'node:tls'
import t, { type Test } from 'tap'
import { authority, certificate, privateKey } from '../support/certificates.ts'
import { ask } from '../support/client.ts'
import { kafkaSink, startKafka } from '../support/kafka.ts'
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

t.test('a gateway starts, serves and leaves without any broker', async (t) => {
  const { request, shown, stop, log } = await startLogging(t, [kafkaSink(['127.0.0.1:1'])])
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
    const { request, shown, resink } = await startLogging(t, [kafkaSink([broker], { tls: {} })], { files })
    await request(1)
    await eventually('it is down', async () => (await shown()).state === 'down')
    t.match(await shown(), { lastError: { why: 'TLS did not come about' } })
    t.same(seen, [])
    await resink([kafkaSink([broker], { tls })])
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
  const { request, shown, log } = await startLogging(t, [kafkaSink([`127.0.0.1:${port}`], { sasl })])
  await request(1)
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { queued: 1, lastError: { why: 'it does not take these credentials' } })
  t.equal(seen[0], '\0ada\0sasl-secret')
  t.notMatch(JSON.stringify(log()), /sasl-secret|10\.9\.8\.7/)
})

/** The client starts a timer with a time in the past, which Node.js 21 and later says, once; the guide on logs tells of it. */
const ofTheClient =
  /^\(node:\d+\) TimeoutNegativeWarning: -\d+ is a negative number\.\nTimeout duration was set to 1\.\n/m

t.test(
  'a process whose broker hangs keeps few connections, and leaves in time with what it cannot send',
  async (t) => {
    const broker = await startKafka(t)
    const { url } = await statusUpstream(t)
    const gateway = await startOwnProcess(
      t,
      loggingConfig(url, [kafkaSink([broker.address], { timeout: '300ms' })])
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
    const log = gateway.log().replace(ofTheClient, '')
    for (const words of ['a fault nobody caught', 'Warning', broker.address]) t.notMatch(log, words)
  }
)
