import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { keepsSpelling } from '../support/transports.ts'
import { configFor, exchange, RawClient, rawUpstream, scripted } from '../support/upstream.ts'

const empty = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

/** Sends one request with these headers and gives back the head that the service saw. */
async function seen(t: Parameters<typeof rawUpstream>[0], config: object, headers: string, path = '/') {
  const up = await rawUpstream(t, (connection) => {
    if (connection.received.endsWith('\r\n\r\n')) connection.socket.write(empty)
  })
  const base = configFor([up.url], config as never)
  const { origin } = await startGateway(t, { ...base, ...(config as { whole?: object }).whole })
  const answer = await exchange(
    origin,
    `GET ${path} HTTP/1.1\r\nHost: Api.Example:8080\r\n${headers}Connection: close\r\n\r\n`
  )
  t.match(answer, /^HTTP\/1\.1 200 /)
  return up.connections[0]!.received
}

t.test('headers keep their spelling, order, duplicates and bytes', async (t) => {
  const head = await seen(
    t,
    {},
    'X-b: 1\r\nx-A: caf\u00e9\r\nX-b: 2\r\nCookie: a=1\r\nCookie: b=2\r\nX-Empty: \r\n'
  )
  t.match(head, /\r\nX-b: 1\r\nx-A: caf\u00e9\r\nX-b: 2\r\nCookie: a=1\r\nCookie: b=2\r\nX-Empty: \r\n/)
})

t.test('many headers all arrive', async (t) => {
  const many = Array.from({ length: 1200 }, (_, index) => `x${index}: 1\r\n`).join('')
  const head = await seen(t, { whole: { listen: { maxHeaders: 2000 } } }, many)
  t.match(head, /\r\nx0: 1\r\n.*\r\nx1199: 1\r\n/s)
  t.equal(head.match(/\r\nx\d+: 1/g)?.length, 1200)
})

t.test('hop-by-hop headers and what Connection names stay here', async (t) => {
  const head = await seen(
    t,
    {},
    'Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip, trailers\r\n' +
      'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nTrailer: X-T\r\nConnection: X-Hop, upgrade\r\nX-Hop: 1\r\n'
  )
  t.notMatch(head, /keep-alive|proxy-|upgrade|http2|trailer:|x-hop|connection/i)
  t.match(head, /\r\nTE: trailers\r\n/)
})

t.test('Connection cannot take away what the gateway says', async (t) => {
  const head = await seen(
    t,
    {},
    'Connection: X-Forwarded-For, X-Real-IP, X-Request-Id, Forwarded, Host, traceparent\r\n'
  )
  for (const name of ['X-Forwarded-For', 'X-Real-IP', 'X-Request-Id', 'Forwarded', 'Host', 'Traceparent']) {
    t.match(head, new RegExp(`\r\n${name}: .`), name)
  }
})

t.test('who asked is what the gateway knows, not what the client says', async (t) => {
  const head = await seen(
    t,
    {},
    'X-Forwarded-For: 9.9.9.9\r\nX_Forwarded_For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n' +
      'X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-User: root\r\nX-Real-IP: 9.9.9.9\r\n' +
      'Forwarded: for=9.9.9.9\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nTrue-Client-IP: 9.9.9.9\r\n'
  )
  t.notMatch(head, /9\.9\.9\.9|evil|root|\/admin/)
  t.match(head, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/)
  t.match(head, /\r\nX-Forwarded-Host: Api\.Example:8080\r\n/)
  t.match(head, /\r\nX-Forwarded-Proto: http\r\n/)
  t.match(head, /\r\nX-Forwarded-Port: 8080\r\n/)
  t.match(head, /\r\nX-Real-IP: 127\.0\.0\.1\r\n/)
  t.match(head, /\r\nForwarded: for=127\.0\.0\.1;host="Api\.Example:8080";proto=http\r\n/)
})

t.test('a trusted proxy is believed and added to', async (t) => {
  const whole = { guard: { trustedProxies: ['127.0.0.1'] } }
  const head = await seen(
    t,
    { whole },
    'X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nForwarded: for=203.0.113.9\r\n'
  )
  t.match(head, /\r\nX-Forwarded-For: 203\.0\.113\.9, 127\.0\.0\.1\r\n/)
  t.match(head, /\r\nX-Forwarded-Proto: https\r\n/)
  t.match(head, /\r\nX-Forwarded-Host: shop\.example\r\n/)
  t.match(head, /\r\nX-Forwarded-Port: 443\r\n/)
  t.match(head, /\r\nX-Real-IP: 203\.0\.113\.9\r\n/)
  t.match(head, /\r\nForwarded: for=203\.0\.113\.9, for=127\.0\.0\.1;host=shop\.example;proto=https\r\n/)
})

t.test('no client names itself, however it spells the header', async (t) => {
  const names = [
    'X-User-Id',
    'x_user_id',
    'X.User.Id',
    'X-USER_id',
    'x-session-id',
    'X_Session_Id',
    'X-Scopes',
    'x_scopes'
  ]
  const head = await seen(t, {}, names.map((name) => `${name}: root\r\n`).join(''))
  t.notMatch(head, /root/)
})

t.test('Authorization stays here unless the route sends it on', async (t) => {
  t.notMatch(await seen(t, {}, 'Authorization: Bearer secret\r\n'), /secret/)
  const route = { forwardAuthorization: true }
  t.match(
    await seen(t, { route }, 'Authorization: Bearer secret\r\n'),
    /\r\nAuthorization: Bearer secret\r\n/
  )
})

t.test("the service sees its own Host, or the client's where the route says so", async (t) => {
  t.match(await seen(t, {}, ''), /\r\nHost: 127\.0\.0\.1:\d+\r\n/)
  t.match(await seen(t, { route: { preserveHost: true } }, ''), /\r\nHost: Api\.Example:8080\r\n/)
})

t.test('request id and trace context go on; a trace state only with its parent', async (t) => {
  const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const kept = await seen(t, {}, `X-Request-Id: mine-1\r\nTraceparent: ${parent}\r\nTracestate: a=b\r\n`)
  t.match(kept, /\r\nX-Request-Id: mine-1\r\n/)
  t.match(kept, new RegExp(`\r\nTraceparent: ${parent}\r\n`))
  t.match(kept, /\r\nTracestate: a=b\r\n/)
  const made = await seen(t, {}, 'X-Request-Id: bad id\r\nTraceparent: 00-zz\r\nTracestate: a=b\r\n')
  t.notMatch(made, /bad id|zz|Tracestate/)
  t.match(made, /\r\nTraceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00\r\n/)
})

t.test('an answer loses its hop-by-hop headers and nothing else', { skip: !keepsSpelling }, async (t) => {
  const up = await scripted(
    t,
    'HTTP/1.1 200 Fine\r\nServer: up/1\r\nVia: 1.1 x\r\nKeep-Alive: timeout=9\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n' +
      'Upgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Up: \u00e9\r\n' +
      'x-request-id: theirs\r\nContent-Length: 0\r\n\r\n'
  )
  const { origin } = await startGateway(t, configFor([up.url]))
  const answer = await exchange(origin, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.match(
    answer,
    /^HTTP\/1\.1 200 Fine\r\nServer: up\/1\r\nVia: 1\.1 x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n/
  )
  t.match(answer, /\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Up: \u00e9\r\n/)
  t.equal(answer.match(/\r\ndate: /gi)?.length, 1)
  t.notMatch(answer, /timeout=9|x-hop|upgrade|theirs|keep-alive/i)
  t.match(answer, /\r\nConnection: close\r\n/i, 'the client asked for close and gets close')
})

t.test('a Location that points at the service leads back through the route', async (t) => {
  const locations: [string, object, string][] = [
    ['/done?x=1', { stripPrefix: '/shop' }, '/shop/done?x=1'],
    ['/', { stripPrefix: '/shop' }, '/shop'],
    ['?a=b', { stripPrefix: '/shop' }, '?a=b'],
    ['/api/done', { stripPrefix: '/shop', addPrefix: '/api' }, '/shop/done'],
    ['/other', { stripPrefix: '/shop', addPrefix: '/api' }, '/other'],
    ['http://NODE/done#x', { stripPrefix: '/shop' }, 'http://shop.example/shop/done#x'],
    ['//NODE/done', { stripPrefix: '/shop' }, 'http://shop.example/shop/done'],
    ['http://NODE', {}, 'http://shop.example/'],
    ['https://elsewhere.example/done', { stripPrefix: '/shop' }, 'https://elsewhere.example/done'],
    ['done', { stripPrefix: '/shop' }, 'done']
  ]
  for (const [location, rewrite, expected] of locations) {
    const up = await rawUpstream(t, ({ socket }) => {
      const node = `127.0.0.1:${(socket.address() as { port: number }).port}`
      socket.write(
        `HTTP/1.1 302 Found\r\nLocation: ${location.replace('NODE', node)}\r\nContent-Length: 0\r\n\r\n`
      )
    })
    const { origin } = await startGateway(t, configFor([up.url], { route: { path: '/shop/*', rewrite } }))
    const answer = await exchange(
      origin,
      'GET /shop/a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n'
    )
    t.match(answer.replace('\r\nlocation', '\r\nLocation'), `\r\nLocation: ${expected}\r\n`, location)
  }
})

t.test('behind a trusted proxy a Location leads to where the client came in', async (t) => {
  const up = await rawUpstream(t, ({ socket }) => {
    const { port } = socket.address() as { port: number }
    socket.write(`HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:${port}/x\r\nContent-Length: 0\r\n\r\n`)
  })
  const forwarded = 'X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n'
  const request = `GET / HTTP/1.1\r\nHost: inner:8080\r\n${forwarded}Connection: close\r\n\r\n`
  const trusting = await startGateway(t, { ...configFor([up.url]), guard: { trustedProxies: ['127.0.0.1'] } })
  t.match(await exchange(trusting.origin, request), /\r\nLocation: https:\/\/shop\.example\/x\r\n/i)
  const plain = await startGateway(t, configFor([up.url]))
  t.match(await exchange(plain.origin, request), /\r\nLocation: http:\/\/inner:8080\/x\r\n/i)
})

t.test("paths are rewritten: strip, add, replace, and a node's own path in front", async (t) => {
  const cases: [object, string, string][] = [
    [{ stripPrefix: '/a' }, '/a/b?c', '/b?c'],
    [{ stripPrefix: '/a' }, '/a', '/'],
    [{ stripPrefix: '/a' }, '/ab', '/ab'],
    [{ stripPrefix: '/a' }, '/%61/b', '/b'],
    [{ stripPrefix: '/a' }, '/a;v=1/b;w=2', '/b;w=2'],
    [{ stripPrefix: '/a', addPrefix: '/v1' }, '/a/b', '/v1/b'],
    [{ addPrefix: '/v1/' }, '/', '/v1'],
    [{ replace: { pattern: '^/users/([0-9]+)$', with: '/u?id=$1' } }, '/users/7', '/u%3Fid=7'],
    [{ replace: { pattern: '^/users/([0-9]+)$', with: '/u/$1' } }, '/users/7?x', '/u/7?x'],
    [{}, '//a///b', '/a/b'],
    [{}, '/%7euser/%c3%a9', '/~user/%C3%A9']
  ]
  for (const [rewrite, sent, expected] of cases) {
    const head = await seen(t, { route: { rewrite } }, '', sent)
    t.equal(head.split(' ')[1], expected, `${sent} by ${JSON.stringify(rewrite)}`)
  }
})

t.test(
  'a header with bytes beyond ASCII comes as it was sent, also before the first byte of a body',
  async (t) => {
    const up = await rawUpstream(t, ({ socket }) =>
      socket.write('HTTP/1.1 200 OK\r\nX-A: caf\u00e9\r\n\r\n', 'latin1')
    )
    const { origin } = await startGateway(t, configFor([up.url]))
    const client = new RawClient(origin).write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    t.match(await client.until(/\r\n\r\n$/), /\r\nX-A: caf\u00e9\r\n/i)
    client.close()
  }
)
