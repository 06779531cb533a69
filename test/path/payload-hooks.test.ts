import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream, rawUpstream } from '../support/upstream.ts'

/** A plugin that looks at payloads: it turns small texts into capitals and marks every answer that passed it. */
const capitals = `
import { Transform } from 'node:stream'
export default {
  key: 'capitals',
  setup(app) {
    app.register(Object.assign(async (scope) => {
      scope.addHook('onSend', async (request, reply, payload) => {
        reply.header('x-seen', String(reply.statusCode))
        if (payload === null || typeof payload?.pipe !== 'function') return payload
        reply.removeHeader('content-length')
        return payload.pipe(new Transform({
          transform(chunk, _encoding, done) { done(null, chunk.toString('latin1').toUpperCase()) }
        }))
      })
    }, { [Symbol.for('skip-override')]: true }))
  }
}`

/** Looks, and changes nothing. */
const watching = `
export default {
  key: 'watching',
  setup(app) {
    app.addHook('onSend', async (_request, reply, payload) => {
      reply.header('x-seen', String(reply.statusCode))
      return payload
    })
  }
}`

async function start(t: Test, url: string, plugin: string, service: Record<string, unknown> = {}) {
  return startGateway(
    t,
    {
      services: { up: { nodes: [url], ...service } },
      routes: [{ id: 'up', path: '/*', service: 'up', auth: 'none' }],
      plugins: [{ use: './plugin.mjs', after: 'guard' }]
    },
    { files: { 'plugin.mjs': plugin } }
  )
}

t.test('an answer passes the onSend hook of a plugin, which may change it', async (t) => {
  const up = await httpUpstream(t, (_request, response) =>
    response.writeHead(201, 'Done', { 'X-Own': 'a', 'Set-Cookie': ['a=1', 'b=2'] }).end('hello')
  )
  const { origin } = await start(t, up.url, capitals)
  const answer = await request(`${origin}/x`)
  t.equal(answer.statusCode, 201)
  t.equal(await answer.body.text(), 'HELLO')
  t.match(answer.headers, { 'x-seen': '201', 'x-own': 'a', 'set-cookie': ['a=1', 'b=2'] })
  t.match(answer.headers['x-request-id'], /./, "the gateway's own headers are there, once")
})

t.test('the engine that is asked for by name is taken, whatever plugins there are', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end('hello'))
  const { origin } = await start(t, up.url, capitals, { transport: 'direct' })
  const answer = await request(`${origin}/x`)
  t.equal(await answer.body.text(), 'hello')
  t.equal(answer.headers['x-seen'], undefined)
})

t.test('a header of a plugin that cannot be written costs its request, and nobody else', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end('hello'))
  const breaking = `
export default {
  key: 'breaking',
  setup(app) {
    app.addHook('onRequest', async (request, reply) => {
      if (request.exchange.path === '/broken') reply.header('x-broken', 'one\\r\\ntwo')
    })
  }
}`
  const { origin } = await start(t, up.url, breaking)
  const both = await Promise.allSettled([request(`${origin}/broken`), request(`${origin}/whole`)])
  t.match(both, [{ status: 'rejected' }, { status: 'fulfilled', value: { statusCode: 200 } }])
  t.equal((await request(`${origin}/whole`)).statusCode, 200)
})

t.test('answers without a body, refusals and failures pass it as well', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    if (request.url === '/broken') response.destroy()
    else response.writeHead(request.url === '/none' ? 204 : 200, { 'x-own': 'a' }).end()
  })
  const { origin } = await start(t, up.url, watching)
  const none = await request(`${origin}/none`)
  t.match(none, { statusCode: 204, headers: { 'x-own': 'a', 'x-seen': '204' } })
  const head = await request(`${origin}/head`, { method: 'HEAD' })
  t.match(head, { statusCode: 200, headers: { 'x-own': 'a', 'x-seen': '200' } })
  await none.body.dump()
  await head.body.dump()
  const broken = await request(`${origin}/broken`, { method: 'POST' })
  t.match(broken, { statusCode: 502, headers: { 'x-seen': '502' } })
  t.match(await broken.body.json(), { code: 'UPSTREAM_BROKEN' })
})

t.test('a large body streams through it with backpressure, and arrives byte for byte', async (t) => {
  const size = 24 * 1024 * 1024
  let written = 0
  const up = await httpUpstream(t, (_request, response) => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const more = () => {
      while (written < size) {
        written += chunk.length
        if (!response.write(chunk)) return void response.once('drain', more)
      }
      response.end()
    }
    more()
  })
  const { origin } = await start(t, up.url, watching)
  const answer = await request(`${origin}/large`)
  // Nobody reads yet: most of it has to stay where it is.
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.ok(written < size, `${written} of ${size} were taken from the service`)
  let received = 0
  for await (const chunk of answer.body) received += (chunk as Buffer).length
  t.equal(received, size)
})

t.test('a body that breaks off does not look complete', async (t) => {
  const up = await rawUpstream(t, ({ socket, received }) => {
    if (!received.endsWith('\r\n\r\n')) return
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    setTimeout(() => socket.resetAndDestroy(), 50)
  })
  const { origin, log } = await start(t, up.url, watching)
  const answer = await request(`${origin}/x`)
  t.equal(answer.statusCode, 200)
  await t.rejects(answer.body.text())
  const line = () => log().find(({ msg }) => msg === 'request')
  while (line() === undefined) await new Promise((resolve) => setTimeout(resolve, 10))
  t.match(line(), { status: 200, verdict: 'UPSTREAM_BROKEN' })
})

t.test('a client that leaves ends the request at the service', async (t) => {
  let closed = 0
  const up = await httpUpstream(t, (request, response) => {
    response.write('first')
    request.socket.once('close', () => {
      closed += 1
    })
  })
  const { origin } = await start(t, up.url, watching)
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  socket.write('GET /x HTTP/1.1\r\nHost: x\r\n\r\n')
  await new Promise((resolve) => socket.once('data', resolve))
  socket.destroy()
  const deadline = Date.now() + 10_000
  while (closed === 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10))
  t.equal(closed, 1)
})
