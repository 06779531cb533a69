import t, { type Test } from 'tap'
import type { ConfigError } from '../../config/mistake.ts'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream } from '../support/upstream.ts'

const app = 'https://app.example'

async function start(
  t: Test,
  cors: object,
  { route = {}, service = {} }: { route?: object; service?: object } = {}
) {
  const upstream = await httpUpstream(t, (_request, response) => {
    response.setHeader('Access-Control-Allow-Origin', '*')
    response.setHeader('access-control-allow-credentials', 'true')
    response.setHeader('Access-Control-Expose-Headers', '*')
    response.setHeader('Vary', 'Accept')
    response.end('done')
  })
  const gateway = await startGateway(t, { ...configFor([upstream.url], { route, service }), cors })
  const send = async (headers: Record<string, string>, method = 'GET', path = '/x') => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const bytes = `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${lines.join('')}\r\n`
    return readAnswer(await exchange(gateway.origin, bytes))
  }
  const preflight = (origin: string, method = 'GET', headers?: string, path?: string) =>
    send(
      {
        Origin: origin,
        'Access-Control-Request-Method': method,
        ...(headers !== undefined && { 'Access-Control-Request-Headers': headers })
      },
      'OPTIONS',
      path
    )
  return { ...gateway, upstream, send, preflight }
}

function readAnswer(text: string) {
  const [first = '', ...lines] = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n')
  const pairs = lines.map((line) => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.replace(/^[^:]*: ?/, '')
  ])
  const of = (name: string) => pairs.filter(([key]) => key === name).map(([, value]) => value)
  return {
    status: Number(first.slice(9, 12)),
    allowed: of('access-control-allow-origin'),
    spoken: pairs.filter(([key]) => key!.startsWith('access-control-')).map(([key]) => key),
    vary: of('vary').join(', '),
    of
  }
}

for (const transport of ['direct', 'http-proxy']) {
  t.test(`over ${transport} the gateway alone says who may read an answer of a service`, async (t) => {
    const { send } = await start(t, { origins: [app] }, { service: { transport } })
    const listed = await send({ Origin: app })
    t.strictSame(listed.allowed, [app])
    t.strictSame(listed.of('access-control-allow-credentials'), [])
    t.strictSame(listed.of('access-control-expose-headers'), [
      'x-request-id, ratelimit, ratelimit-policy, retry-after'
    ])
    t.match(listed.vary, /Accept/)
    t.match(listed.vary, /Origin/)
    for (const origin of [
      'https://evil.example',
      'null',
      `${app}.evil.example`,
      'http://app.example',
      `${app}:8443`,
      `${app}/`,
      'HTTPS://APP.EXAMPLE',
      '*',
      `${app}, ${app}`
    ]) {
      const other = await send({ Origin: origin })
      t.equal(other.status, 200)
      t.strictSame(other.spoken, [], origin)
      t.match(other.vary, /Origin/)
    }
    const none = await send({})
    t.strictSame(none.spoken, [])
    t.match(none.vary, /Origin/)
  })
}

t.test('refusals can be read by listed origins too, and vary by origin for all', async (t) => {
  const { send } = await start(t, { origins: [app] }, { route: { path: '/only', methods: ['GET'] } })
  for (const [method, path, status] of [
    ['GET', '/nowhere', 404],
    ['DELETE', '/only', 405]
  ] as const) {
    const listed = await send({ Origin: app }, method, path)
    t.equal(listed.status, status)
    t.strictSame(listed.allowed, [app])
    const other = await send({ Origin: 'https://evil.example' }, method, path)
    t.strictSame(other.spoken, [])
    t.match(other.vary, /Origin/)
  }
})

t.test('a preflight is answered before anybody is asked who they are, and reaches no service', async (t) => {
  const { preflight, upstream } = await start(
    t,
    { origins: [app], headers: ['X-Own'] },
    {
      route: { methods: ['POST'], limit: { qps: 1 } }
    }
  )
  for (let turn = 0; turn < 5; turn += 1) {
    const answer = await preflight(app, 'POST', 'x-own')
    t.equal(answer.status, 204)
    t.strictSame(answer.allowed, [app])
    t.match(answer.of('access-control-allow-methods')[0], /POST/)
    t.strictSame(answer.of('access-control-max-age'), ['600'])
    t.match(answer.vary, /Origin.*Access-Control-Request-Method.*Access-Control-Request-Headers/)
  }
  for (const [origin, method, headers] of [
    ['https://evil.example', 'POST', 'x-own'],
    ['null', 'POST', 'x-own'],
    [app, 'TRACK', 'x-own'],
    [app, 'post', 'x-own'],
    [app, '*', 'x-own'],
    [app, 'POST', 'x-own, x-other'],
    [app, 'POST', '*']
  ] as const) {
    const answer = await preflight(origin, method, headers)
    t.equal(answer.status, 204)
    t.strictSame(answer.spoken, [], `${origin} ${method} ${headers}`)
    t.match(answer.vary, /Origin/)
  }
  t.equal(upstream.requests.length, 0)
})

t.test('a preflight passes where the request itself needs a token', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end())
  const { origin } = await startGateway(t, {
    ...configFor([upstream.url]),
    routes: [{ id: 'closed', path: '/*', service: 'up' }],
    auth: {},
    cors: { origins: [app] }
  })
  const ask = async (method: string, headers = '') =>
    readAnswer(
      await exchange(
        origin,
        `${method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: ${app}\r\n${headers}\r\n`
      )
    )
  t.equal((await ask('OPTIONS', 'Access-Control-Request-Method: GET\r\n')).status, 204)
  const refused = await ask('GET')
  t.equal(refused.status, 401)
  t.strictSame(refused.allowed, [app])
  t.equal(upstream.requests.length, 0)
})

t.test('a star stands for one label of an https host', async (t) => {
  const { send } = await start(t, { origins: ['https://*.example.com'] })
  t.strictSame((await send({ Origin: 'https://a-1.example.com' })).allowed, ['https://a-1.example.com'])
  for (const origin of [
    'http://a.example.com',
    'https://example.com',
    'https://a.b.example.com',
    'https://.example.com',
    'https://a.example.com:8443',
    'https://a.example.com.evil.org',
    'https://evil.org/.example.com',
    'https://evil.org#.example.com',
    'https://x@a.example.com',
    'https://*.example.com'
  ]) {
    t.strictSame((await send({ Origin: origin })).spoken, [], origin)
  }
})

t.test('a route speaks for itself, to preflights by the method they ask about', async (t) => {
  const own = 'https://own.example'
  const { send, preflight, upstream } = await start(
    t,
    { origins: [app] },
    {
      route: { methods: ['PUT'], cors: { origins: [own], credentials: true } }
    }
  )
  t.strictSame((await send({ Origin: own }, 'PUT')).of('access-control-allow-credentials'), ['true'])
  t.strictSame((await send({ Origin: app }, 'PUT')).spoken, [])
  t.strictSame((await preflight(own, 'PUT')).allowed, [own])
  t.strictSame((await preflight(app, 'PUT')).spoken, [])
  t.strictSame((await preflight(own, 'GET')).spoken, [], 'no route of that kind: what holds for all')
  t.equal(upstream.requests.length, 2)
})

t.test('a route without origins leaves CORS to its service', async (t) => {
  const { send, preflight } = await start(t, { origins: [app] }, { route: { cors: {} } })
  t.strictSame((await send({ Origin: app })).allowed, ['*'])
  t.strictSame((await preflight(app)).allowed, ['*'])
})

for (const [cors, pointer] of [
  [{ origins: ['*'] }, '/origins/0'],
  [{ origins: ['null'] }, '/origins/0'],
  [{ origins: [`${app}/`] }, '/origins/0'],
  [{ origins: [`${app}/path`] }, '/origins/0'],
  [{ origins: [`${app}:443`] }, '/origins/0'],
  [{ origins: ['https://App.example'] }, '/origins/0'],
  [{ origins: ['https://user@app.example'] }, '/origins/0'],
  [{ origins: ['app.example'] }, '/origins/0'],
  [{ origins: ['ftp://app.example'] }, '/origins/0'],
  [{ origins: ['http://*.app.example'] }, '/origins/0'],
  [{ origins: ['https://*.example'] }, '/origins/0'],
  [{ origins: ['https://a.*.example.com'] }, '/origins/0'],
  [{ origins: ['https://*.*.example.com'] }, '/origins/0'],
  [{ origins: ['https://*.app.example'], credentials: true }, '/origins/0'],
  [{ origins: ['http://app.example'], credentials: true }, '/origins/0'],
  [{ credentials: true }, '/credentials'],
  [{ origins: [app], headers: ['*'] }, '/headers/0'],
  [{ origins: [app], expose: ['*'] }, '/expose/0']
] as const) {
  t.test(`${JSON.stringify(cors)} refuses the config, for all and for a route`, async (t) => {
    for (const [config, at] of [
      [{ ...configFor(['http://127.0.0.1:1']), cors }, '/cors'],
      [configFor(['http://127.0.0.1:1'], { route: { cors } }), '/routes/0/cors']
    ] as const) {
      const error = await startGateway(t, config).catch((error: ConfigError) => error)
      const { mistakes } = error as ConfigError
      t.equal(mistakes?.find(({ severity }) => severity === 'error')?.pointer, at + pointer)
    }
  })
}
