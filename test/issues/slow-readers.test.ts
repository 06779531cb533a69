import { connect } from 'node:net'
import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream, rawUpstream } from '../support/upstream.ts'

const impatient = { public: '127.0.0.1:0', admin: '127.0.0.1:0', timeouts: { send: '300ms' } }

t.test('a client that does not fetch what is ready for it is let go after timeouts.send', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end(Buffer.alloc(60_000)))
  const { origin, log } = await startGateway(t, { ...configFor([up.url]), listen: impatient })
  const client = connect({ host: '127.0.0.1', port: Number(new URL(origin).port) })
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  // More than the sockets' buffers hold: the gateway keeps the end of one of these answers.
  client.pause().write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(300))
  const deadline = performance.now() + 8000
  while (!log().some(({ msg, reason }) => msg === 'request' && reason === 'send_timeout')) {
    if (performance.now() > deadline) throw new Error('the connection is still held')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.ok(up.requests.length < 300)
})

t.test('the log does not blame the service for a client that stopped reading', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end(Buffer.alloc(30_000_000)))
  const { origin, log } = await startGateway(t, { ...configFor([up.url]), listen: impatient })
  const client = connect({ host: '127.0.0.1', port: Number(new URL(origin).port) })
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  client.pause().write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const deadline = performance.now() + 8000
  while (!log().some(({ msg, reason }) => msg === 'request' && reason === 'send_timeout')) {
    if (performance.now() > deadline) throw new Error('it was not told')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.pass('send_timeout')
})

t.test('a body that breaks off does not look complete to a client of HTTP/1.0', async (t) => {
  const up = await rawUpstream(t, ({ socket }) =>
    socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab')
  )
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = connect({ host: '127.0.0.1', port: Number(new URL(origin).port) })
  client.resume().write('GET / HTTP/1.0\r\nHost: x\r\n\r\n')
  const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    client.once('error', resolve)
    client.once('end', () => resolve(undefined))
  })
  t.equal(error?.code, 'ECONNRESET')
  t.match(await exchange(origin, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1.1 200 OK/)
})

t.test('thousands of chunks in one read are waited for once', async (t) => {
  const body = `${'a'.repeat(8)}\r\n`
  const answer = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`a\r\n${body}\r\n`.repeat(60_000)}0\r\n\r\n`
  const up = await rawUpstream(t, ({ socket }) => socket.write(answer))
  const { origin } = await startGateway(t, configFor([up.url]))
  const warnings: string[] = []
  const onWarning = ({ name, message }: Error) => warnings.push(`${name}: ${message}`)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const response = await fetch(origin)
  t.equal((await response.text()).length, 600_000)
  t.same(warnings, [])
})
