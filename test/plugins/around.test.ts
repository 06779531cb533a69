import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'

/** What happens around a request: its id, who asks, CORS, the log line, the counters, and how a refusal looks. */
async function start(t: Test, config: Record<string, unknown> = {}) {
  const upstream = await httpUpstream(t, (_request, response) => response.end('hello'))
  const started = await startGateway(t, {
    services: { hello: { nodes: [upstream.url] } },
    routes: [
      { id: 'open', path: '/open/*', service: 'hello', auth: 'none' },
      { id: 'closed', path: '/closed', service: 'hello' }
    ],
    auth: {},
    ...config
  })
  return { ...started, upstream }
}

const get = (url: string, headers: Record<string, string> = {}, method = 'GET') =>
  request(url, { headers, method: method as 'GET' })

t.test('a sane request id is kept, returned and forwarded; any other is replaced', async (t) => {
  const { origin, upstream } = await start(t)
  const kept = await get(`${origin}/open`, { 'x-request-id': 'mine-1' })
  t.equal(kept.headers['x-request-id'], 'mine-1')
  t.equal(upstream.requests[0]!.headers['x-request-id'], 'mine-1')
  for (const odd of ['two words', 'x'.repeat(129), '']) {
    const replaced = await get(`${origin}/open`, { 'x-request-id': odd })
    t.match(replaced.headers['x-request-id'], /^[\w-]{8}-[0-9a-z]+$/)
    t.equal(upstream.requests.at(-1)!.headers['x-request-id'], replaced.headers['x-request-id'])
  }
})

t.test('a well-formed traceparent is continued, any other is replaced', async (t) => {
  const { origin, upstream } = await start(t)
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await get(`${origin}/open`, { traceparent: trace })
  t.equal(upstream.requests[0]!.headers.traceparent, trace)
  await get(`${origin}/open`, { traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` })
  t.match(upstream.requests[1]!.headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
})

t.test(
  'the address of a client behind trusted proxies is the rightmost that is not one of them',
  async (t) => {
    const trusting = await start(t, { guard: { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8', '::1'] } })
    const clients: Record<string, string> = {
      '203.0.113.9': '203.0.113.9',
      '1.2.3.4, 203.0.113.9': '203.0.113.9',
      '203.0.113.9, 10.1.2.3': '203.0.113.9',
      '::ffff:203.0.113.9': '203.0.113.9',
      '203.0.113.9, nonsense, 10.1.2.3': '10.1.2.3',
      nonsense: '127.0.0.1'
    }
    for (const [forwarded, client] of Object.entries(clients)) {
      await get(`${trusting.origin}/open`, { 'x-forwarded-for': forwarded })
      t.equal(trusting.upstream.requests.at(-1)!.headers['x-real-ip'], client, forwarded)
    }
    const wary = await start(t)
    await get(`${wary.origin}/open`, { 'x-forwarded-for': '203.0.113.9' })
    t.equal(wary.upstream.requests[0]!.headers['x-real-ip'], '127.0.0.1')
    t.equal(wary.upstream.requests[0]!.headers['x-forwarded-for'], '127.0.0.1')
  }
)

t.test('a range that is none refuses the config', async (t) => {
  await t.rejects(start(t, { guard: { trustedProxies: ['10.0.0.0/33'] } }), /10\.0\.0\.0\/33/)
})

t.test('CORS is answered for listed origins only', async (t) => {
  const { origin, upstream } = await start(t, { cors: { origins: ['https://app.example'] } })
  const preflight = (from: string) =>
    get(`${origin}/closed`, { origin: from, 'access-control-request-method': 'POST' }, 'OPTIONS')
  const listed = await preflight('https://app.example')
  t.equal(listed.statusCode, 204)
  t.equal(listed.headers['access-control-allow-origin'], 'https://app.example')
  t.match(listed.headers['access-control-allow-methods'], 'POST')
  const other = await preflight('https://evil.example')
  t.equal(other.headers['access-control-allow-origin'], undefined)
  const simple = await get(`${origin}/open`, { origin: 'https://app.example' })
  t.equal(simple.headers['access-control-allow-origin'], 'https://app.example')
  t.match(simple.headers.vary, /origin/i)
  t.equal(upstream.requests.length, 1, 'no preflight reached the service')
})

t.test('without origins, CORS is left to the services', async (t) => {
  const { origin, upstream } = await start(t)
  const answer = await get(
    `${origin}/open`,
    { origin: 'https://app.example', 'access-control-request-method': 'GET' },
    'OPTIONS'
  )
  t.equal(answer.headers['access-control-allow-origin'], undefined)
  t.equal(upstream.requests.length, 1)
})

t.test('each request is one line with route, verdict and reason, and no query', async (t) => {
  const { origin, log } = await start(t)
  await get(`${origin}/open/x?token=secret`)
  await get(`${origin}/closed`)
  await get(`${origin}/nowhere`)
  const lines = log().filter(({ msg }) => msg === 'request')
  t.match(lines, [
    {
      path: '/open/x',
      status: 200,
      route: 'open',
      service: 'hello',
      node: /^hello-[0-9a-f]{8}$/,
      verdict: 'allowed'
    },
    { path: '/closed', status: 401, route: 'closed', verdict: 'UNAUTHENTICATED', reason: 'missing' },
    { path: '/nowhere', status: 404, verdict: 'ROUTE_NOT_FOUND', reason: 'route' }
  ])
  t.notMatch(JSON.stringify(log()), 'secret')
})

t.test('a client that leaves is logged as 499', async (t) => {
  const upstream = await httpUpstream(t, () => {})
  const { origin, log } = await startGateway(t, {
    services: { slow: { nodes: [upstream.url] } },
    routes: [{ id: 'slow', path: '/*', service: 'slow', auth: 'none' }]
  })
  await t.rejects(request(origin, { signal: AbortSignal.timeout(200) }))
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.match(
    log().filter(({ msg }) => msg === 'request'),
    [{ status: 499, reason: 'client_left' }]
  )
})

t.test('requests are counted by route, refusals by code and reason; paths make no series', async (t) => {
  const { origin, admin } = await start(t)
  await get(`${origin}/open/a`)
  await get(`${origin}/open/b`)
  await get(`${origin}/closed`)
  for (let index = 0; index < 20; index += 1) await get(`${origin}/random-${index}`)
  const text = await (await get(`${admin}/metrics`)).body.text()
  t.match(text, 'tollkeeper_requests_total{route="open",method="GET",status="200"} 2')
  t.match(text, 'tollkeeper_requests_total{route="-",method="GET",status="404"} 20')
  t.match(text, 'tollkeeper_refusals_total{code="UNAUTHENTICATED",reason="missing"} 1')
  t.match(text, 'tollkeeper_upstream_duration_seconds_count{service="hello"} 2')
  t.notMatch(text, 'random-')
})

t.test('the nodes of a service are counted by state and health, and what it went through', async (t) => {
  const { origin, admin } = await start(t, {
    services: { hello: { nodes: ['http://127.0.0.1:1', 'http://127.0.0.1:2'], health: { failures: 1 } } }
  })
  const figure = async (name: string) => {
    const text = await (await get(`${admin}/metrics`)).body.text()
    return new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (.+)$`, 'm').exec(text)?.[1]
  }
  t.equal(await figure('tollkeeper_upstream_nodes{service="hello",state="up",health="well"}'), '2')
  t.equal((await get(`${origin}/open/a`)).statusCode, 502)
  t.equal(await figure('tollkeeper_upstream_ejections_total{service="hello"}'), '2')
  t.equal(await figure('tollkeeper_upstream_retries_total{service="hello"}'), '1')
  t.equal(await figure('tollkeeper_upstream_nodes{service="hello",state="up",health="ejected"}'), '2')
  t.equal(await figure('tollkeeper_upstream_in_flight{service="hello"}'), '0')
})

t.test('a refusal is problem+json with every field, whatever is asked for', async (t) => {
  const { origin } = await start(t)
  const answer = await get(`${origin}/closed?x=1`, { accept: 'text/html', 'x-request-id': 'r-1' })
  t.equal(answer.headers['content-type'], 'application/problem+json')
  t.same(await answer.body.json(), {
    type: 'urn:tollkeeper:problem:unauthenticated',
    title: 'Unauthorized',
    status: 401,
    detail: 'This is for signed-in users; send "Authorization: Bearer <access token>".',
    code: 'UNAUTHENTICATED',
    instance: '/closed',
    requestId: 'r-1'
  })
})

t.test('what was never a request is counted and logged all the same', async (t) => {
  const { origin, admin, log } = await start(t)
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  socket.end('NOT HTTP\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const [head, body = ''] = String(Buffer.concat(chunks)).split('\r\n\r\n')
  t.match(head, /^HTTP\/1\.1 400 Bad Request\r\n/)
  const { requestId } = JSON.parse(body) as { requestId: string }
  t.match(log(), [{ requestId, status: 400, verdict: 'BAD_REQUEST', listener: 'public' }])
  const text = await (await get(`${admin}/metrics`)).body.text()
  t.match(text, /tollkeeper_refusals_total\{code="BAD_REQUEST",reason="hpe_[a-z_]+"\} 1/)
})
