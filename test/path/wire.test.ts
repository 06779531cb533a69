import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream, RawClient } from '../support/upstream.ts'

const chunked = 'Transfer-Encoding: chunked'

t.test(
  'a request that two readers could frame differently is refused, and the connection with it',
  async (t) => {
    let served = 0
    const up = await httpUpstream(t, (request, response) =>
      request.resume().on('end', () => {
        served += 1
        response.end('ok')
      })
    )
    const { origin } = await startGateway(t, configFor([up.url]))
    const bad: Record<string, [string, number]> = {
      'two Host headers': ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
      'two equal Host headers': ['GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
      'no Host': ['GET / HTTP/1.1\r\nX: y\r\n\r\n', 400],
      'an empty Host': ['GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
      'a Host with a path': ['GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
      'a Host with a user': ['GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400],
      'a Host with a space': ['GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
      'a Host list': ['GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
      'a bad port': ['GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n', 400],
      'length and chunked': [
        `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n${chunked}\r\n\r\n0\r\n\r\n`,
        400
      ],
      'chunked and length': [
        `POST / HTTP/1.1\r\nHost: a\r\n${chunked}\r\nContent-Length: 1\r\n\r\n0\r\n\r\n`,
        400
      ],
      'two lengths': ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx', 400],
      'a list of lengths': ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx', 400],
      'a signed length': ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx', 400],
      'a hexadecimal length': ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx', 400],
      'gzip, chunked': [
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
        501
      ],
      'chunked, chunked': [
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n',
        400
      ],
      'chunked twice': [`POST / HTTP/1.1\r\nHost: a\r\n${chunked}\r\n${chunked}\r\n\r\n0\r\n\r\n`, 400],
      identity: ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n', 501],
      xchunked: ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n', 501],
      'a space before the colon': [
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
        400
      ],
      'a folded header': ['GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n', 400],
      'a bare line feed': ['GET / HTTP/1.1\nHost: a\n\n', 400],
      'a bare carriage return': ['GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n', 400],
      'a NUL': ['GET / HTTP/1.1\r\nHost: a\r\nX: a\u0000b\r\n\r\n', 400],
      'HTTP/1.0 with chunked': [`POST / HTTP/1.0\r\nHost: a\r\n${chunked}\r\n\r\n0\r\n\r\n`, 400],
      'HTTP/2': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
      'HTTP/1.2': ['GET / HTTP/1.2\r\nHost: a\r\n\r\n', 400],
      'no version': ['GET /\r\n\r\n', 400],
      'a lower-case method': ['get / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      'a method nobody knows': ['FROB / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      nonsense: ['\u0016\u0003\u0001\u0000hello\r\n\r\n', 400],
      'a chunk size with a sign': [`POST / HTTP/1.1\r\nHost: a\r\n${chunked}\r\n\r\n-1\r\n\r\n`, 400],
      'a head larger than the limit': [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
      'a line larger than the limit': [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
      TRACE: ['TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 501],
      CONNECT: ['CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 501],
      'absolute form for another host': ['GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      'absolute form with a user': ['GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      'another scheme': ['GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      'asterisk for GET': ['GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      'a fragment': ['GET /a#b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 400]
    }
    for (const [name, [bytes, status]] of Object.entries(bad)) {
      const answer = await exchange(origin, bytes).catch((error: Error) => error.message)
      const body = answer.slice(answer.indexOf('\r\n\r\n') + 4)
      t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), name)
      t.match(answer, /\r\ncontent-type: application\/problem\+json/i, name)
      t.equal((JSON.parse(body) as { status: number }).status, status, name)
    }
    t.equal(served, 0, 'none of them reached the service whole')
  }
)

t.test('a smuggled request is never served', async (t) => {
  const up = await httpUpstream(t, (request, response) =>
    request.resume().on('end', () => response.end('ok'))
  )
  const { origin } = await startGateway(t, configFor([up.url]))
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
  const carriers = [
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${smuggled.length + 5}\r\n${chunked}\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc${'x'.repeat(3)}${smuggled}`
  ]
  for (const bytes of carriers) await exchange(origin, bytes, 3000).catch(() => '')
  t.same(
    up.requests.filter(({ url }) => url === '/smuggled'),
    []
  )
})

t.test('absolute form is served like the path, and its authority is the host', async (t) => {
  const up = await httpUpstream(t, (request, response) =>
    response.end(`${request.url} ${request.headers['x-forwarded-host']}`)
  )
  const { origin } = await startGateway(t, configFor([up.url], { route: { hosts: ['a.example'] } }))
  for (const [target, host] of [
    ['http://a.example/x?y', 'a.example'],
    ['HTTP://A.example:80/x?y', 'a.example'],
    ['/x?y', 'a.example'],
    ['/x?y', 'A.EXAMPLE.:8080']
  ] as const) {
    const answer = await exchange(
      origin,
      `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
    )
    t.match(answer, /^HTTP\/1\.1 200 .*\r\n\r\n\/x\?y /s, `${target} at ${host}`)
  }
  const other = await exchange(origin, 'GET /x HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n')
  t.match(other, /^HTTP\/1\.1 404 /)
})

t.test('OPTIONS * is answered by the gateway', async (t) => {
  const { origin } = await startGateway(t, configFor([]))
  const answer = await exchange(origin, 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.match(answer, /^HTTP\/1\.1 204 No Content\r\nallow: /)
})

t.test('a head that does not come in time gets 408, an idle connection just ends', async (t) => {
  const { origin } = await startGateway(t, {
    ...configFor([]),
    listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0', timeouts: { head: '100ms', keepAlive: '100ms' } }
  })
  const slow = new RawClient(origin).write('GET / HTTP/1.1\r\nHost: ')
  t.match(await slow.ended(), /^HTTP\/1\.1 408 .*REQUEST_TIMEOUT/s)
  const silent = new RawClient(origin)
  t.equal(await silent.ended(), '')
})

t.test('what comes before a malformed request on a connection is still answered', async (t) => {
  const up = await httpUpstream(t, (_, response) => setTimeout(() => response.end('first'), 40))
  const { origin } = await startGateway(t, configFor([up.url]))
  const answer = await exchange(origin, 'GET / HTTP/1.1\r\nHost: a\r\n\r\nNONSENSE\r\n\r\n')
  t.match(answer, /^HTTP\/1\.1 200 .*first.*HTTP\/1\.1 400 /s)
})

t.test('a refusal of 405 says what is allowed', async (t) => {
  const { origin } = await startGateway(t, configFor([], { route: { path: '/a', methods: ['GET', 'POST'] } }))
  const answer = await exchange(origin, 'DELETE /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.match(answer, /^HTTP\/1\.1 405 /)
  t.match(answer, /\r\nallow: GET, HEAD, POST\r\n/i)
})
