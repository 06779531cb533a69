import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream, RawClient } from '../support/upstream.ts'

const host = 'Host: a\r\n'
const ask = (path: string, extra = '', method = 'GET') => `${method} ${path} HTTP/1.1\r\n${host}${extra}\r\n`
const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n'
const webSocket =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'

/** A service that keeps answers to /slow until told, and echoes everything else. */
async function start(t: Test) {
  const held: ServerResponse[] = []
  let onHeld = () => {}
  const up = await httpUpstream(t, (request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('error', () => {})
    request.once('end', () => {
      if (request.url !== '/slow') return response.end(`<${request.method} ${request.url} ${body}>`)
      held.push(response)
      return onHeld()
    })
  })
  const config = configFor([up.url])
  const routes = [...(config.routes as object[]), { id: 'private', path: '/private/*', service: 'up' }]
  const running = await startGateway(t, { ...config, routes })
  return {
    ...running,
    up,
    slow: () =>
      new Promise<ServerResponse>((resolve) => {
        onHeld = () => resolve(held.shift()!)
        if (held.length > 0) onHeld()
      })
  }
}

const statuses = (text: string) =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))

t.test('a request behind another is begun when the one before it has its answer', async (t) => {
  const { origin, up, slow } = await start(t)
  const client = new RawClient(origin).write(
    `${ask('/slow', 'Content-Length: 1\r\n', 'POST')}x${ask('/private/a')}${ask('/b')}`
  )
  t.teardown(() => client.close())
  const first = await slow()
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.same(
    up.requests.map(({ url }) => url),
    ['/slow']
  )
  first.end('<first>')
  const text = await client.until(/<GET \/b >/)
  t.same(statuses(text), [200, 401, 200])
  t.match(text, /<first>[\s\S]*<GET \/b >/)
})

for (const [name, extra, answer, status] of [
  ['another protocol', ask('/b', h2c), '<GET /b >', 200],
  ['a refused WebSocket', ask('/private/b', webSocket), 'UNAUTHENTICATED', 401],
  ['CONNECT', 'CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n', 'NOT_IMPLEMENTED', 501],
  ['garbage', 'GARBAGE\r\n\r\n', 'BAD_REQUEST', 400]
] as const) {
  t.test(`${name} behind a request that is under way waits for its turn`, async (t) => {
    const { origin, slow } = await start(t)
    const client = new RawClient(origin).write(ask('/slow') + extra)
    t.teardown(() => client.close())
    const first = await slow()
    await new Promise((resolve) => setTimeout(resolve, 30))
    t.equal(client.received, '')
    first.end('<first>')
    const text = await client.until(new RegExp(answer))
    t.same(statuses(text), [200, status])
  })
}

t.test('a large answer is finished when another protocol is asked for behind it', async (t) => {
  const size = 8 * 1024 * 1024
  const up = await httpUpstream(t, (request, response) => {
    response.end(request.url === '/large' ? Buffer.alloc(size, 'x') : '<last>')
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write(ask('/large') + ask('/b', h2c))
  t.teardown(() => client.close())
  t.ok((await client.until(/<last>/)).length > size)
})

t.test('clients that reset their connection at any moment end only that', async (t) => {
  const { origin, slow } = await start(t)
  const beginnings = [
    ask('/slow') + ask('/b', h2c),
    ask('/slow') + ask('/private/b', webSocket),
    `${ask('/slow')}CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n`,
    ask('/slow') + ask('/slow')
  ]
  for (const beginning of beginnings) {
    const client = new RawClient(origin).write(beginning)
    const first = await slow()
    client.socket.resetAndDestroy()
    first.end('<first>')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.match(await exchange(origin, ask('/b', 'Connection: close\r\n')), /<GET \/b >/)
})

t.test('five hundred requests at once behind a slow one are all answered, in order', async (t) => {
  const { origin, slow } = await start(t)
  const paths = Array.from({ length: 500 }, (_, index) => `/n${index}`)
  const client = new RawClient(origin).write(ask('/slow') + paths.map((path) => ask(path)).join(''))
  t.teardown(() => client.close())
  ;(await slow()).end('<first>')
  const text = await client.until(/<GET \/n499 >/)
  t.same(
    [...text.matchAll(/<GET (\/n\d+) >/g)].map(([, path]) => path),
    paths
  )
})

t.test('many offers of another protocol on one connection leave nothing behind', async (t) => {
  const { origin } = await start(t)
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const client = new RawClient(origin)
  t.teardown(() => client.close())
  for (let index = 0; index < 25; index += 1) {
    client.write(ask(`/n${index}`, h2c))
    await client.until(new RegExp(`<GET /n${index} >`))
  }
  t.same(warnings, [])
})

t.test('a body that breaks off is answered at once, and only once', async (t) => {
  const { origin, up } = await start(t)
  const broken = 'Transfer-Encoding: chunked\r\n'
  const text = await exchange(origin, `${ask('/b', broken, 'POST')}zz\r\n`)
  t.same(statuses(text), [400])
  t.match(text, /BAD_REQUEST/)
  const client = new RawClient(origin).write(`${ask('/private/b', broken, 'POST')}1\r\nx\r\n`)
  t.teardown(() => client.close())
  await client.until(/UNAUTHENTICATED/)
  t.same(statuses(await client.write('zz\r\n').ended()), [401])
  t.match(await exchange(origin, ask('/c', 'Connection: close\r\n')), /<GET \/c >/)
  t.notOk(up.requests.some(({ url, complete }) => url === '/b' && complete))
})

t.test('what is not HTTP/1 is refused with an answer like any other', async (t) => {
  const { origin, up } = await start(t)
  for (const [bytes, status] of [
    [`GET /b HTTP/2.0\r\n${host}\r\n`, 501],
    [`GET /b HTTP/0.9\r\n${host}\r\n`, 400],
    [`DESCRIBE /b RTSP/1.0\r\n${host}\r\n`, 501],
    [`OPTIONS * HTTP/1.1\r\n${host}${host}\r\n`, 400],
    ['OPTIONS * HTTP/1.1\r\nHost: a b\r\n\r\n', 400]
  ] as const) {
    const text = await exchange(origin, bytes)
    t.same(statuses(text), [status], bytes)
    t.match(text, /application\/problem\+json/i)
  }
  t.equal(up.requests.length, 0)
})
