import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { loadGatewayConfig } from '../../app.ts'
import { tracesOptionsWith } from '../../services/traces/check.ts'
import { ask } from '../support/client.ts'
import { type Collector, type ReceivedSpan, startCollector } from '../support/collector.ts'
import { startGateway } from '../support/gateway.ts'
import { eventually } from '../support/own-process.ts'
import { closedPort, httpUpstream } from '../support/upstream.ts'
import { closed, opened, wsUpstream } from '../support/websocket.ts'

const trace = '0af7651916cd43dd8448eb211c80319c'
const parent = 'b7ad6b7169203331'
const key = 'a-key-of-the-collector'

/** A gateway that traces to a collector of its own. */
async function traced(t: Test, traces: Record<string, unknown> = {}, transport = 'direct') {
  const collector = await startCollector(t)
  const up = await httpUpstream(t, (request, response) => {
    response.statusCode = request.url?.startsWith('/open/failing') ? 503 : 200
    response.end('ok')
  })
  const away = await closedPort()
  const config = {
    services: {
      up: { nodes: [up.url], transport },
      away: { nodes: [`http://127.0.0.1:${away}`], transport }
    },
    routes: [
      {
        id: 'open',
        path: '/open/*',
        service: 'up',
        auth: 'none',
        limit: { qps: 1000, by: 'address' }
      },
      { id: 'closed', path: '/closed', service: 'up' },
      { id: 'away', path: '/away', service: 'away', auth: 'none' }
    ],
    auth: {},
    traces: { enabled: true, endpoint: collector.endpoint, headers: { 'x-key': key }, ...traces }
  }
  const gateway = await startGateway(t, config)
  return { ...gateway, config, collector, up, ports: [up.port, away] }
}

/** The spans of one trace, once its server span has arrived. */
async function spansOf({ spans }: Collector, isServer: (span: ReceivedSpan) => boolean) {
  const find = () => spans.find((span) => span.kind === 2 && isServer(span))
  await eventually('the span arrives', () => find() !== undefined)
  const server = find()!
  const others = spans.filter((span) => span.traceId === server.traceId && span !== server)
  return {
    server,
    client: others.filter(({ kind }) => kind === 3),
    steps: others.filter(({ kind }) => kind === 1)
  }
}
const at = (path: string) => (span: ReceivedSpan) => span.attributes['url.path'] === path

t.test('off, nothing of OpenTelemetry is loaded, and each trace stays unsampled', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const { origin, gateway } = await startGateway(t, {
    services: { up: { nodes: [up.url] } },
    routes: [{ id: 'open', path: '/*', service: 'up', auth: 'none' }]
  })
  t.equal((await ask('GET', origin)).status, 200)
  t.equal(gateway.config.value.traces.enabled, false)
  t.match(up.requests[0]?.headers.traceparent, /-00$/)
  const loaded = Object.keys(createRequire(import.meta.url).cache)
  t.same(
    loaded.filter((file) => /@opentelemetry\/(?!api\/)/.test(file)),
    [],
    'but the interface, which prom-client brings along'
  )
})

for (const transport of ['direct', 'http-proxy']) {
  t.test(
    `a request is a span, with one for each step and one for the service, over ${transport}`,
    async (t) => {
      const { origin, collector, up, ports } = await traced(t, { serviceName: 'edge' }, transport)
      const answer = await ask('GET', `${origin}/open/a?token=in-the-query`, {
        token: 'a.secret.token',
        headers: { cookie: 'session=in-a-cookie' }
      })
      t.equal(answer.status, 200)
      const { server, client, steps } = await spansOf(collector, at('/open/a'))
      t.match(server, { name: 'GET /open/*', status: { code: 0 } })
      t.notOk(server.parentSpanId)
      const { host } = new URL(origin)
      t.same(server.attributes, {
        'http.request.method': 'GET',
        'http.route': '/open/*',
        'url.path': '/open/a',
        'url.scheme': 'http',
        'server.address': host.split(':')[0],
        'http.response.status_code': 200
      })
      t.equal(client.length, 1)
      t.match(client[0], { name: 'GET', parentSpanId: server.spanId })
      t.same(client[0]?.attributes, {
        'http.request.method': 'GET',
        'tollkeeper.service': 'up',
        'http.response.status_code': 200
      })
      t.ok(steps.some(({ name }) => name === 'step limit'))
      for (const span of [...steps, ...client]) {
        t.equal(span.parentSpanId, server.spanId)
        t.ok(BigInt(span.startTimeUnixNano) >= BigInt(server.startTimeUnixNano), `${span.name} begins within`)
        t.ok(BigInt(span.endTimeUnixNano) <= BigInt(server.endTimeUnixNano), `${span.name} ends within`)
      }
      t.equal(up.requests[0]?.headers.traceparent, `00-${server.traceId}-${client[0]?.spanId}-01`)
      t.equal(collector.headers[0]?.['x-key'], key)
      t.match(collector.text(), '"service.name","value":{"stringValue":"edge"}')
      for (const secret of [
        'in-the-query',
        'secret',
        'in-a-cookie',
        key,
        ...ports.map((port) => `:${port}`)
      ]) {
        t.notOk(collector.text().includes(secret), `nothing tells ${secret}`)
      }
    }
  )
}

t.test("a client's trace goes on, and what it says of sampling is done", async (t) => {
  const { origin, collector, up } = await traced(t, { sample: 0 })
  const get = (path: string, flags: string) =>
    ask('GET', `${origin}${path}`, {
      headers: { traceparent: `00-${trace}-${parent}-${flags}`, tracestate: 'vendor=1' }
    })
  await get('/open/unsampled', '00')
  await ask('GET', `${origin}/open/nobody`)
  await get('/open/sampled', '01')
  const { server, client } = await spansOf(collector, at('/open/sampled'))
  t.match(server, { traceId: trace, parentSpanId: parent })
  const [unsampled, nobody, sampled] = up.requests.map(({ headers }) => headers)
  t.equal(unsampled?.traceparent, `00-${trace}-${parent}-00`)
  t.match(nobody?.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
  t.equal(sampled?.traceparent, `00-${trace}-${client[0]?.spanId}-01`)
  t.equal(sampled?.tracestate, 'vendor=1')
  t.equal(collector.spans.filter(({ kind }) => kind === 2).length, 1, 'nothing else was sampled')
})

for (const transport of ['direct', 'http-proxy']) {
  t.test(
    `a WebSocket is a span of its handshake, and the trace goes on to the service, over ${transport}`,
    async (t) => {
      const { origin, collector, config, reconfigure } = await traced(t, {}, transport)
      const service = await wsUpstream(t)
      const heard: (string | undefined)[] = []
      service.sockets.on('connection', (socket, { headers }) => {
        heard.push(headers.traceparent as string | undefined)
        socket.on('message', (data) => socket.send(data.toString()))
      })
      const services = { ...config.services, sockets: { nodes: [service.url], transport } }
      const socketRoutes = [
        { id: 'sockets', path: '/sockets/:room', service: 'sockets', auth: 'none' },
        { id: 'members', path: '/members', service: 'sockets' }
      ]
      await reconfigure({ ...config, services, routes: [...config.routes, ...socketRoutes] })

      // 1. One of somebody's trace: it is told of while it is open.
      const headers = { traceparent: `00-${trace}-${parent}-01` }
      const socket = new WebSocket(`${origin.replace('http', 'ws')}/sockets/a?token=in-the-query`, {
        headers
      })
      await opened(socket)
      socket.send('hello')
      await once(socket, 'message')
      const { server, client, steps } = await spansOf(collector, at('/sockets/a'))
      t.match(server, {
        name: 'GET /sockets/:room',
        traceId: trace,
        parentSpanId: parent,
        status: { code: 0 }
      })
      t.same(server.attributes, {
        'http.request.method': 'GET',
        'http.route': '/sockets/:room',
        'url.path': '/sockets/a',
        'url.scheme': 'http',
        'server.address': '127.0.0.1',
        'http.response.status_code': 101
      })
      t.equal(client.length, 1)
      t.match(client[0], { name: 'GET', parentSpanId: server.spanId, status: { code: 0 } })
      t.match(client[0]?.attributes, { 'tollkeeper.service': 'sockets', 'http.response.status_code': 101 })
      for (const step of steps) t.equal(step.parentSpanId, server.spanId)
      t.same(heard, [`00-${trace}-${client[0]?.spanId}-01`])
      t.notOk(collector.text().includes('in-the-query'))
      socket.close()
      await closed(socket)

      // 2. One that is refused is a refused request.
      const refused = new WebSocket(`${origin.replace('http', 'ws')}/members`)
      await t.rejects(opened(refused), /401/)
      const other = await spansOf(collector, at('/members'))
      t.match(other.server.attributes, {
        'http.route': '/members',
        'http.response.status_code': 401,
        'error.type': 'UNAUTHENTICATED'
      })
      t.equal(other.client.length, 0)
      t.equal(collector.spans.filter(at('/sockets/a')).length, 1, 'its end is no other span')
    }
  )
}

t.test('refusals and failures are told by their codes', async (t) => {
  const { origin, collector, ports } = await traced(t)
  t.equal((await ask('GET', `${origin}/closed`)).status, 401)
  const refused = await spansOf(collector, at('/closed'))
  t.match(refused.server.attributes, { 'http.response.status_code': 401, 'error.type': 'UNAUTHENTICATED' })
  t.equal(refused.server.status.code, 0, "a client's mistake is no failure of the server")
  t.equal(refused.client.length, 0)
  t.match(refused.steps.find(({ name }) => name === 'step auth')?.attributes, {
    'error.type': 'UNAUTHENTICATED'
  })

  const { status, body } = await ask('GET', `${origin}/away`)
  const failing = await spansOf(collector, at('/away'))
  t.match(failing.server, { attributes: { 'error.type': body.code }, status: { code: 2 } })
  t.equal(failing.server.attributes['http.response.status_code'], status)
  t.match(failing.client[0], { attributes: { 'error.type': body.code }, status: { code: 2 } })

  t.equal((await ask('GET', `${origin}/open/failing`)).status, 503)
  const answered = await spansOf(collector, at('/open/failing'))
  t.match(answered.client[0]?.attributes, { 'http.response.status_code': 503, 'error.type': '503' })

  t.equal((await ask('GET', `${origin}/nowhere`)).status, 404)
  await ask('GET', `${origin}/open/eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl`)
  t.ok(await spansOf(collector, at('/open/[token]')))
  t.notMatch(collector.text(), 'eyJ')
  const lost = await spansOf(collector, at('/nowhere'))
  t.equal(lost.server.name, 'GET')
  t.notOk('http.route' in lost.server.attributes)
  for (const port of ports) t.notOk(collector.text().includes(`:${port}`))
})

t.test('a collector that takes nothing is told of once, and holds up no request', async (t) => {
  const { origin, collector, log } = await traced(t)
  const told = (part: string) => log().filter(({ msg }) => String(msg).includes(part))
  collector.status = 400
  await eventually('it is told', async () => {
    t.equal((await ask('GET', `${origin}/open/a`)).status, 200)
    return collector.headers.length >= 2 && told('they are lost').length > 0
  })
  t.equal(told('they are lost').length, 1)
  collector.status = 200
  await eventually('it is told again', async () => {
    t.equal((await ask('GET', `${origin}/open/b`)).status, 200)
    return told('takes spans again').length > 0
  })
})

t.test(
  'the spans that wait are sent before the gateway ends; a reload without traces makes no more',
  async (t) => {
    const { origin, collector, config, reconfigure, stop } = await traced(t)
    await ask('GET', `${origin}/open/before`)
    await reconfigure({ ...config, traces: { enabled: false } })
    await spansOf(collector, at('/open/before'))
    await ask('GET', `${origin}/open/off`)
    await reconfigure(config)
    await ask('GET', `${origin}/open/last`)
    await stop()
    t.ok(collector.spans.some(at('/open/last')))
    const sdk = Object.keys(createRequire(import.meta.url).cache)
    t.ok(
      sdk.some((file) => file.includes('@opentelemetry/sdk-trace')),
      'on, it is loaded'
    )
    t.notOk(collector.spans.some(at('/open/off')))
  }
)

t.test('explain goes through the steps without a span', async (t) => {
  const { origin, admin, collector, config, reconfigure } = await traced(t)
  const token = 'an-admin-token-of-some-length'
  await reconfigure({ ...config, admin: { token } })
  const explained = await ask('POST', `${admin}/admin/explain`, {
    token,
    json: { method: 'GET', url: `${origin}/open/explained` }
  })
  t.equal(explained.status, 200)
  t.match(explained.body, { allowed: true })
  await ask('GET', `${origin}/open/real`)
  await spansOf(collector, at('/open/real'))
  t.notOk(collector.spans.some(at('/open/explained')))
})

t.test('what is missing is a mistake of the config; secrets are not shown', async (t) => {
  const told: string[][] = []
  const report = { error: (...words: string[]) => void told.push(words), warning: () => {} }
  const check = (enabled: boolean) =>
    tracesOptionsWith((name) => {
      if (name !== '@opentelemetry/api') throw new Error(name)
    })({ traces: { enabled } } as never, report)
  check(false)
  t.same(told, [])
  check(true)
  t.equal(told.length, 1)
  t.equal(told[0]?.[0], '/traces/enabled')
  t.match(told[0]?.[1], /npm install @opentelemetry\/exporter-trace-otlp-http .*sdk-trace-base$/)

  const path = join(t.testdir({}), 'gateway.config.json')
  const load = (traces: object) => {
    writeFileSync(path, JSON.stringify({ services: {}, routes: [], traces }))
    return loadGatewayConfig(path)
  }
  const { redacted } = await load({ enabled: true, headers: { 'x-key': key } })
  t.notMatch(JSON.stringify(redacted), key)
  for (const wrong of [
    { endpoint: 'http://user:password@collector:4318' },
    { endpoint: 'collector:4318' },
    { sample: 2 },
    { headers: { 'two words': 'a' } },
    { sampel: 1 }
  ]) {
    await t.rejects(load(wrong), JSON.stringify(wrong))
  }
})
