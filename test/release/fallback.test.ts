import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { ask } from '../support/client.ts'
import { refusalOf } from '../support/config.ts'
import { startGateway } from '../support/gateway.ts'
import { until } from '../support/nodes.ts'
import { closedPort, httpUpstream, RawClient, rawUpstream } from '../support/upstream.ts'

interface Parts {
  readonly nodes?: readonly string[]
  readonly service?: object
  readonly route?: object
  readonly services?: object
}

/** A route whose service is at `nodes`, where mostly nobody is. */
async function start(t: Test, fallback: object, { nodes, service, route, services }: Parts = {}) {
  const started = await startGateway(t, {
    services: {
      orders: { nodes: nodes ?? [`http://127.0.0.1:${await closedPort()}`], fallback, ...service },
      ...services
    },
    routes: [
      { id: 'orders', path: '/orders/*', service: 'orders', auth: 'none', ...route },
      ...Object.keys(services ?? {}).map((name) => ({ id: name, path: `/${name}`, service: name }))
    ]
  })
  const requests = () => started.log().filter(({ msg }) => msg === 'request')
  const metrics = async () => (await ask('GET', `${started.admin}/metrics`)).text
  return { ...started, requests, metrics }
}

/** A service that answers with what it got. */
const echo = (t: Test) =>
  httpUpstream(t, (request, response) => {
    let body = ''
    request.setEncoding('latin1').on('data', (text) => {
      body += text
    })
    request.on('end', () => response.end(`${request.method} ${request.url} ${body.length}`))
  })

t.test('another service answers for one that nobody can connect to', async (t) => {
  const fixed = await echo(t)
  const services = { 'orders-static': { nodes: [fixed.url] } }
  const { origin, requests, metrics } = await start(t, { service: 'orders-static' }, { services })
  t.match(await ask('GET', `${origin}/orders/7?x=1`), { status: 200, text: 'GET /orders/7?x=1 0' })
  t.match(requests(), [
    {
      status: 200,
      verdict: 'allowed',
      service: 'orders-static',
      node: /^orders-static-/,
      fallback: 'connect_refused'
    }
  ])
  t.match(
    await metrics(),
    /tollkeeper_fallbacks_total\{service="orders",fallback="orders-static",reason="connect"\} 1/
  )
})

t.test('a body that was read while there was no connection is sent on whole', async (t) => {
  const other = await echo(t)
  const services = { other: { nodes: [other.url] } }
  const { origin } = await start(t, { service: 'other' }, { services })
  for (const size of [1, 5_000, 200_000, 3_000_000]) {
    const answer = await ask('POST', `${origin}/orders/1`, { form: 'x'.repeat(size) })
    t.match(answer, { status: 200, text: `POST /orders/1 ${size}` })
  }
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
  const head = 'POST /orders/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
  const client = new RawClient(origin).write(head + chunk('abc'))
  await new Promise((resolve) => setTimeout(resolve, 50))
  client.write(chunk('defg') + chunk(''))
  t.match(await client.until(/POST \/orders\/1 \d+/), /POST \/orders\/1 7/)
  client.close()
})

t.test(
  'neither a mirror that looks on nor a service without nodes takes anything of the body away',
  async (t) => {
    const [other, shadow] = [await echo(t), await echo(t)]
    const services = { other: { nodes: [other.url] }, shadow: { nodes: [shadow.url] } }
    const route = { mirror: { service: 'shadow', methods: ['POST'], maxBody: '4MiB' } }
    const { origin } = await start(t, { service: 'other' }, { services, route, nodes: [] })
    for (const size of [1, 20_000, 2_000_000]) {
      const answer = await ask('POST', `${origin}/orders/1`, { form: 'x'.repeat(size) })
      t.match(answer, { status: 200, text: `POST /orders/1 ${size}` })
    }
  }
)

t.test(
  'a copy for the shadow has each byte once, also of what was read for a service that is down',
  async (t) => {
    const [other, shadow] = [await echo(t), await echo(t)]
    const copied: number[] = []
    shadow.server.on('request', (request) => {
      let size = 0
      request.on('data', ({ length }: Buffer) => {
        size += length
      })
      request.on('end', () => copied.push(size))
    })
    const services = { other: { nodes: [other.url] }, shadow: { nodes: [shadow.url] } }
    const route = { mirror: { service: 'shadow', methods: ['POST'], maxBody: '100000B' } }
    const { origin } = await start(t, { service: 'other' }, { services, route })
    for (const size of [3, 65_537, 100_000]) {
      const head = `POST /orders/1 HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`
      const client = new RawClient(origin).write(`${head}x`)
      // The first byte is there before it is known that nobody is.
      await new Promise((resolve) => setTimeout(resolve, 50))
      client.write('x'.repeat(size - 1))
      t.match(await client.until(/POST \/orders\/1 \d+/), new RegExp(`POST /orders/1 ${size}`))
      client.close()
      await until(() => copied.length > 0, 'the shadow has its copy')
      t.same(copied.splice(0), [size])
    }
  }
)

t.test('a fixed answer stands in for a service without nodes', async (t) => {
  const headers = { 'content-type': 'application/json', location: '/status', 'cache-control': 'no-store' }
  const fallback = { status: 203, headers, body: '{"orders":[]}' }
  const { origin, requests, metrics } = await start(t, fallback, {
    nodes: [],
    route: { rewrite: { stripPrefix: '/orders' } }
  })
  const answer = await ask('GET', `${origin}/orders/1`)
  t.match(answer, { status: 203, text: '{"orders":[]}' })
  t.equal(answer.headers.get('location'), '/status', 'nothing is rewritten')
  t.equal(answer.headers.get('content-type'), 'application/json')
  t.ok(answer.headers.get('x-request-id'))
  const head = await ask('HEAD', `${origin}/orders/1`)
  t.match(head, { status: 203, text: '' })
  t.equal(head.headers.get('content-length'), '13')
  t.equal((await ask('POST', `${origin}/orders/1`, { form: 'x'.repeat(300_000) })).status, 203)
  t.match(requests()[0], { status: 203, service: 'orders', node: undefined, fallback: 'no_node' })
  const text = await metrics()
  t.match(text, /tollkeeper_fallbacks_total\{service="orders",fallback="static",reason="unavailable"\} 3/)
  t.notMatch(text, /tollkeeper_upstream_duration_seconds_count\{[^}]*\} [1-9]/, 'nobody was timed')
})

t.test('fallback and mirror are the same where answers go through the hooks of plugins', async (t) => {
  const [other, shadow] = [await echo(t), await echo(t)]
  const services = { other: { nodes: [other.url] }, shadow: { nodes: [shadow.url] } }
  const service = { transport: 'http-proxy' }
  const route = { mirror: { service: 'shadow', methods: ['POST'] } }
  const second = await start(t, { service: 'other' }, { services, service, route })
  const answer = await ask('POST', `${second.origin}/orders/1`, { form: 'x'.repeat(30_000) })
  t.match(answer, { status: 200, text: 'POST /orders/1 30000' })
  while (shadow.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const fixed = { status: 503, headers: { location: '/status', 'retry-after': '9' }, body: 'Closed.' }
  const { origin } = await start(t, fixed, { nodes: [], service })
  const closed = await ask('GET', `${origin}/orders/1`)
  t.match(closed, { status: 503, text: 'Closed.' })
  t.same(
    ['location', 'retry-after', 'content-type', 'content-length'].map((name) => closed.headers.get(name)),
    ['/status', '9', 'text/plain; charset=utf-8', '7']
  )
})

t.test('a request that may have been seen is not given to somebody else', async (t) => {
  const other = await echo(t)
  const services = { other: { nodes: [other.url] } }
  const breaking = await rawUpstream(t, ({ socket }) => socket.resetAndDestroy())
  const hanging = await rawUpstream(t, () => {})
  const broken = await start(t, { service: 'other' }, { services, nodes: [breaking.url] })
  t.match((await ask('POST', `${broken.origin}/orders/1`, { form: 'a' })).body, { code: 'UPSTREAM_BROKEN' })
  const service = { timeouts: { response: '100ms' } }
  const slow = await start(t, { service: 'other' }, { services, service, nodes: [hanging.url] })
  t.match((await ask('GET', `${slow.origin}/orders/1`)).body, { code: 'UPSTREAM_TIMEOUT' })
  const patient = { services, service, nodes: [hanging.url] }
  const late = await start(t, { service: 'other', timeouts: true }, patient)
  t.match(await ask('GET', `${late.origin}/orders/1`), { status: 200, text: 'GET /orders/1 0' })
  t.match(await ask('PUT', `${late.origin}/orders/1`, { form: 'abc' }), { text: 'PUT /orders/1 3' })
  t.match((await ask('POST', `${late.origin}/orders/1`, { form: 'a' })).body, { code: 'UPSTREAM_TIMEOUT' })
  t.match(late.requests()[0], { service: 'other', fallback: 'response_timeout' })
})

t.test('one hop only, and then the client is told what was wrong first', async (t) => {
  const last = await echo(t)
  const services = {
    other: { nodes: [], fallback: { service: 'last' } },
    last: { nodes: [last.url] }
  }
  const { origin, requests } = await start(t, { service: 'other' }, { services })
  t.match((await ask('GET', `${origin}/orders/1`)).body, {
    status: 502,
    code: 'UPSTREAM_CONNECT',
    detail: /"orders"/
  })
  t.equal(last.requests.length, 0)
  t.match(requests(), [{ status: 502, service: 'other', node: undefined, fallback: 'connect_refused' }])
})

t.test('a fallback answers while the breaker of a service is open', async (t) => {
  const other = await echo(t)
  const breaking = await rawUpstream(t, ({ socket }) => socket.resetAndDestroy())
  const { origin, requests } = await start(
    t,
    { service: 'other' },
    {
      services: { other: { nodes: [other.url] } },
      service: { breaker: { failures: 1, open: '1m' }, retry: { attempts: 0 } },
      nodes: [breaking.url]
    }
  )
  t.match((await ask('POST', `${origin}/orders/1`, { form: 'a' })).body, { code: 'UPSTREAM_BROKEN' })
  t.match(await ask('POST', `${origin}/orders/1`, { form: 'abc' }), { status: 200, text: 'POST /orders/1 3' })
  t.match(requests()[1], { service: 'other', fallback: 'breaker_open' })
  t.equal(breaking.connections.length, 1, 'the service was asked no more')
})

t.test('an answer that has begun is not replaced', async (t) => {
  const other = await echo(t)
  const services = { other: { nodes: [other.url] } }
  const half = await rawUpstream(t, ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
    setTimeout(() => socket.destroy(), 50)
  })
  const { origin } = await start(t, { service: 'other', timeouts: true }, { services, nodes: [half.url] })
  const client = new RawClient(origin).write('GET /orders/1 HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(await client.ended(), /^HTTP\/1\.1 200 OK[\s\S]*abc$/)
  t.equal(other.requests.length, 0)
})

t.test('a client that leaves while the fallback is asked leaves nothing behind', async (t) => {
  const silent = await rawUpstream(t, () => {})
  const services = { other: { nodes: [silent.url] } }
  const { origin, stop } = await start(t, { service: 'other' }, { services })
  const client = new RawClient(origin).write('GET /orders/1 HTTP/1.1\r\nHost: a\r\n\r\n')
  while (silent.connections.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const closed = new Promise((resolve) => silent.connections[0]!.socket.once('close', resolve))
  client.close()
  silent.connections[0]!.socket.on('end', () => silent.connections[0]!.socket.destroy())
  await closed
  await stop()
  t.pass('the connection went with the client')
})

t.test('a fallback without an answer, to nowhere or in a circle is a mistake', async (t) => {
  const refused = async (fallbacks: Record<string, object>) => {
    const services = Object.entries(fallbacks).map(([name, fallback]) => [name, { fallback }])
    const directory = t.testdir({
      'gateway.config.json': JSON.stringify({
        services: { ...Object.fromEntries(services), last: {} },
        routes: [{ id: 'a', path: '/*', service: 'last' }]
      })
    })
    const { mistakes } = await refusalOf(loadGatewayConfig(join(directory, 'gateway.config.json')))
    return mistakes.filter(({ severity }) => severity === 'error')
  }
  t.match(await refused({ a: { service: 'b' }, b: { service: 'a' } }), [
    { pointer: '/services/a/fallback/service', sentence: /lead in a circle: "a" to "b" to "a"/ },
    { pointer: '/services/b/fallback/service' }
  ])
  t.match(await refused({ a: { service: 'a' } }), [{ sentence: /is the service itself/ }])
  t.match(await refused({ a: {} }), [{ pointer: '/services/a/fallback', sentence: /either "service"/ }])
  t.match(await refused({ a: { service: 'last', status: 200 } }), [{ sentence: /either "service"/ }])
  t.match(await refused({ a: { service: 'lost' } }), [{ sentence: /there is no service "lost"/ }])
  t.match(await refused({ a: { status: 200, headers: { 'Content-Length': '3' } } }), [
    { pointer: '/services/a/fallback/headers/Content-Length', sentence: /written by the gateway itself/ }
  ])
  t.match(await refused({ a: { status: 200, headers: { 'x-a': 'b\nc' } } }), [{ sentence: /no header may/ }])
})
