import { createSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createSecureServer } from 'node:tls'
import t, { type Test } from 'tap'
import { authority, certificate, privateKey } from '../support/certificates.ts'
import { ask } from '../support/client.ts'
import { eventually } from '../support/own-process.ts'
import { quick, startLogging } from '../support/sinks.ts'
import { closedPort, listen } from '../support/upstream.ts'

/** Messages of a stream with octet counting; throws where the counting is wrong. */
function messagesIn(bytes: Buffer): string[] {
  const messages: string[] = []
  let at = 0
  while (at < bytes.length) {
    const space = bytes.indexOf(' ', at)
    const length = Number(bytes.subarray(at, space).toString())
    if (!Number.isInteger(length) || length < 1) throw new Error(`no length at ${at}`)
    if (space + 1 + length > bytes.length) break
    messages.push(bytes.subarray(space + 1, space + 1 + length).toString())
    at = space + 1 + length
  }
  return messages
}

const form = /^<(\d+)>1 (\S+) (\S+) (\S+) (\d+) (access|gateway) - (\{.*\})$/s

const idOf = (message: string): string =>
  (JSON.parse(form.exec(message)![7]!) as { requestId: string }).requestId

const syslog = (port: number, more: object = {}) => ({
  name: 's',
  kind: 'syslog',
  address: `localhost:${port}`,
  ...quick,
  ...more
})

async function server(
  t: Test,
  port = 0,
  make: (onSocket: (socket: Socket) => void) => Server = (onSocket) => createServer(onSocket)
) {
  const received: Buffer[] = []
  const sockets: Socket[] = []
  const listening = make((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk) => received.push(chunk))
  })
  return {
    port: await listen(t, listening, port),
    messages: () => messagesIn(Buffer.concat(received)),
    received,
    sockets,
    close: () => {
      listening.close()
      for (const socket of sockets) socket.destroy()
    }
  }
}

t.test('over TCP each line is a message of RFC 5424, counted', async (t) => {
  const { port, messages } = await server(t)
  const { origin, request, drained } = await startLogging(t, [
    syslog(port, { facility: 'local3', appName: 'gw', hostname: 'edge-1', messages: true })
  ])
  await request(100)
  await ask('GET', `${origin}/open/500`)
  await eventually('all are sent', async () => (await drained()).sent >= 101)
  await eventually('all arrive', () => messages().length >= 101)
  for (const message of messages()) {
    const [, priority, time, host, app, pid, id, line] = form.exec(message) ?? []
    t.equal(priority, String(19 * 8 + 6))
    t.same([host, app, pid, id], ['edge-1', 'gw', String(process.pid), 'access'])
    t.equal(time, (JSON.parse(line!) as { time: string }).time)
  }
})

t.test('messages of the gateway have their level and their id', async (t) => {
  const { port, messages } = await server(t)
  const { resink, drained } = await startLogging(t, [syslog(port, { messages: true })])
  await resink([syslog(port, { messages: true }), { name: 'x', kind: 'file', path: 'x.log' }])
  await eventually('it is sent', async () => (await drained('s')).sent >= 1)
  await eventually('it arrives', () => messages().length >= 1)
  t.match(
    messages()[0],
    /^<134>1 \S+ \S+ tollkeeper \d+ gateway - \{"level":"info",.*"msg":"config reloaded"\}$/
  )
})

t.test('over UDP each line is a datagram', async (t) => {
  const socket = createSocket('udp4')
  const datagrams: string[] = []
  socket.on('message', (message) => datagrams.push(message.toString()))
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  t.teardown(() => socket.close())
  const { request, drained } = await startLogging(t, [
    syslog(socket.address().port, { transport: 'udp', address: `127.0.0.1:${socket.address().port}` })
  ])
  await request(20)
  t.match(await drained(), { sent: 20 })
  await eventually('all arrive', () => datagrams.length === 20)
  t.ok(datagrams.every((datagram) => form.test(datagram)))
  t.equal(new Set(datagrams.map(idOf)).size, 20)
})

t.test('over TLS, to the one that its authority has signed for', async (t) => {
  const secure = { cert: certificate, key: privateKey }
  const make = (onSocket: (socket: Socket) => void) => createSecureServer(secure, onSocket)
  const { port, messages } = await server(t, 0, make)
  const files = { 'ca.pem': authority }
  const tls = { ca: 'ca.pem' }
  const { request, shown, drained, resink } = await startLogging(
    t,
    [syslog(port, { transport: 'tls', tls: { ...tls, servername: 'other.example' }, flush: '100ms' })],
    { files }
  )
  await request(1, 'wrong')
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { lastError: { why: 'TLS did not come about' } })
  await resink([syslog(port, { transport: 'tls', tls })])
  await request(30)
  await eventually('all are sent', async () => (await drained()).sent === 30)
  await eventually('all arrive', () => messages().length === 30)
  t.equal(new Set(messages().map(idOf)).size, 30)
})

t.test('a server that goes and comes back gets what waited', async (t) => {
  const port = await closedPort()
  const { request, shown, drained } = await startLogging(t, [syslog(port)])
  await request(10, 'early')
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { queued: 10, lastError: { why: 'the connection was refused' } })
  const first = await server(t, port)
  await drained()
  await eventually('all arrive', () => first.messages().length === 10)
  first.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  await request(10, 'while')
  await eventually('it is down', async () => (await shown()).state === 'down')
  const second = await server(t, port)
  await drained()
  await eventually('all arrive', () => second.messages().length === 10)
})

t.test('a server that stops reading is given up, and the queue stays bounded', async (t) => {
  const stalled = await server(t)
  const { request, shown, drained } = await startLogging(t, [
    syslog(stalled.port, { queue: { maxBytes: '64KiB' }, batch: { linger: '20ms' }, timeout: '300ms' })
  ])
  await request(1)
  await drained()
  for (const socket of stalled.sockets) socket.pause()
  for (let round = 0; round < 5; round += 1) {
    await request(100, `r${round}-`)
    t.ok((await shown()).queuedBytes <= 64 * 1024)
  }
  const { sent, dropped, queued } = await shown()
  t.equal(sent + dropped + queued, 501)
})
