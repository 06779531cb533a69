import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'

/** A plugin that listens to requests, as the path asks it to, and tells this process what it hears. */
const listening = `
export default {
  key: 'listening',
  setup(app) {
    const tell = (what) => process.emit('heard', what)
    app.addHook('onRequest', (request, reply, done) => {
      const { raw } = request
      const { path } = request.exchange
      if (path === '/listens') raw.on('end', () => tell('end')).on('close', () => tell('close')).resume()
      if (path === '/waits') raw.on('close', () => tell(raw.aborted ? 'aborted' : 'close'))
      done()
    })
    app.register(Object.assign(async (scope) => {
      scope.addHook('preHandler', async ({ exchange, raw }) => {
        if (exchange.path !== '/reads') return
        for await (const chunk of raw) tell(chunk.length)
        tell('read')
      })
    }, { [Symbol.for('skip-override')]: true }))
  }
}`

async function start(t: Test) {
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.url !== '/waits') response.end('hello')
  })
  const gateway = await startGateway(
    t,
    {
      services: { up: { nodes: [upstream.url] } },
      routes: [{ id: 'up', path: '/*', service: 'up', auth: 'none' }],
      plugins: [{ use: './plugin.mjs', after: 'guard' }]
    },
    { files: { 'plugin.mjs': listening } }
  )
  const heard: unknown[] = []
  const hear = (what: unknown) => void heard.push(what)
  process.on('heard' as never, hear)
  t.teardown(() => process.off('heard' as never, hear))
  const socket = connect(Number(new URL(gateway.origin).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  const send = (path: string): void => void socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
  const answered = async (path: string): Promise<void> => {
    send(path)
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    t.match(chunk.toString(), /^HTTP\/1\.1 200 .*hello$/s)
  }
  const hears = async (what: string): Promise<void> => {
    while (!heard.includes(what)) await once(process, 'heard')
  }
  return { socket, heard, send, answered, hears }
}

t.test('a plugin hears the end of a request without a body, and may read it', async (t) => {
  const { heard, answered, hears } = await start(t)
  await answered('/nobody')
  await answered('/listens')
  await hears('close')
  t.same(heard, ['end', 'close'])
  await answered('/reads')
  await answered('/nobody')
  t.same(heard, ['end', 'close', 'read'])
})

t.test('a plugin hears that the client of a request without a body has left', async (t) => {
  const { socket, heard, answered, send, hears } = await start(t)
  await answered('/nobody')
  send('/waits')
  setTimeout(() => socket.destroy(), 50)
  await hears('aborted')
  t.same(heard, ['aborted'])
})
