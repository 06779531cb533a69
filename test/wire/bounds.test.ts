import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { transports } from '../support/transports.ts'
import { configFor, exchange, httpUpstream, RawClient } from '../support/upstream.ts'

const local = { public: '127.0.0.1:0', admin: '127.0.0.1:0' }
const chunked = 'Transfer-Encoding: chunked'

interface Given {
  readonly listen?: object
  readonly route?: object
}

/** A gateway before a service that tells what it got. */
async function gatewayOver(t: Test, transport: string, { listen = {}, route = {} }: Given = {}) {
  const up = await httpUpstream(t, (request, response) => {
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
    })
    request.on('end', () => response.end(`${request.method} ${size}`))
  })
  const gateway = await startGateway(
    t,
    {
      ...configFor([up.url], { service: { transport }, route }),
      listen: { ...local, ...listen },
      auth: { users: { path: 'users.json' } }
    },
    { files: { 'users.json': '{ "users": {} }' } }
  )
  return { ...gateway, up }
}

/** The answers of a connection in turn, each with the code of its problem where it is one. */
const verdicts = (received: string): string[] =>
  received.split(/(?=HTTP\/1\.1 \d{3} )/).map((answer) => {
    const status = answer.slice(9, 12)
    return `${status} ${/"code":"([A-Z_]+)"/.exec(answer)?.[1] ?? ''}`.trim()
  })

const headers = (count: number): string =>
  Array.from({ length: count }, (_, index) => `X${index}: 1\r\n`).join('')

for (const transport of transports.slice(1)) {
  t.test(`a target or a head out of bounds is refused before anything else, over ${transport}`, async (t) => {
    const { origin, up, log } = await gatewayOver(t, transport, {
      listen: { maxURL: '1KiB', maxHeaders: 20 }
    })
    const close = 'Host: a\r\nConnection: close\r\n'
    const longest = `/?${'q'.repeat(1022)}`
    for (const [name, bytes, verdict] of [
      ['the longest target', `GET ${longest} HTTP/1.1\r\n${close}\r\n`, '200'],
      ['one byte more', `GET ${longest}q HTTP/1.1\r\n${close}\r\n`, '414 URI_TOO_LONG'],
      ['one byte more of HTTP/1.0', `GET ${longest}q HTTP/1.0\r\n\r\n`, '414 URI_TOO_LONG'],
      [
        'a target longer than a head may be',
        `GET /?${'q'.repeat(20_000)} HTTP/1.1\r\n${close}\r\n`,
        '414 URI_TOO_LONG'
      ],
      ['a target in absolute form', `GET http://a${longest} HTTP/1.1\r\n${close}\r\n`, '414 URI_TOO_LONG'],
      ['all headers there may be', `GET / HTTP/1.1\r\n${close}${headers(18)}\r\n`, '200'],
      ['one header more', `GET / HTTP/1.1\r\n${close}${headers(19)}\r\n`, '431 TOO_MANY_HEADERS'],
      ['a large head', `GET / HTTP/1.1\r\n${close}X: ${'x'.repeat(20_000)}\r\n\r\n`, '431 HEADERS_TOO_LARGE'],
      [
        'a door',
        `POST /auth/login?${'q'.repeat(1024)} HTTP/1.1\r\n${close}Content-Length: 0\r\n\r\n`,
        '414 URI_TOO_LONG'
      ],
      [
        'a body behind it',
        `POST ${longest}q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`,
        '414 URI_TOO_LONG'
      ],
      [
        'a body that is asked for',
        `POST ${longest}q HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`,
        '414 URI_TOO_LONG'
      ],
      [
        'in turn',
        `GET / HTTP/1.1\r\nHost: a\r\n\r\nGET ${longest}q HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n`,
        '200, 414 URI_TOO_LONG'
      ],
      [
        'too many headers in turn',
        `GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n${headers(30)}\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n`,
        '200, 431 TOO_MANY_HEADERS'
      ]
    ] as const) {
      t.equal(verdicts(await exchange(origin, bytes)).join(', '), verdict, name)
    }
    t.equal(up.requests.length, 4, 'nothing that was refused reached the service')
    t.ok(log().some(({ msg, reason }) => msg === 'request' && reason === 'url_size'))
    t.ok(log().some(({ msg, reason }) => msg === 'request' && reason === 'header_count'))
  })

  t.test(`a body larger than the route takes gets 413, however it is sent, over ${transport}`, async (t) => {
    const { origin } = await gatewayOver(t, transport, { route: { maxBody: '1KiB' } })
    const large = 'x'.repeat(1025)
    for (const [name, bytes, verdict] of [
      [
        'as large as it may be',
        `POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1024\r\n\r\n${large.slice(1)}`,
        '200'
      ],
      [
        'announced',
        `POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1025\r\n\r\n${large}`,
        '413 BODY_TOO_LARGE'
      ],
      [
        'announced by HTTP/1.0',
        `POST / HTTP/1.0\r\nContent-Length: 1025\r\n\r\n${large}`,
        '413 BODY_TOO_LARGE'
      ],
      [
        'announced and not sent',
        `POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1025\r\n\r\n`,
        '413 BODY_TOO_LARGE'
      ],
      [
        'in chunks',
        `POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${chunked}\r\n\r\n401\r\n${large}\r\n0\r\n\r\n`,
        '413 BODY_TOO_LARGE'
      ],
      [
        'in turn',
        `GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\nConnection: close\r\n\r\n${large}`,
        '200, 413 BODY_TOO_LARGE'
      ],
      [
        'at a door',
        `POST /auth/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n${'x'.repeat(9000)}`,
        '413 BODY_TOO_LARGE'
      ]
    ] as const) {
      t.equal(verdicts(await exchange(origin, bytes, 8000)).join(', '), verdict, name)
    }
  })

  t.test(`what comes too slowly gets 408, over ${transport}`, async (t) => {
    const timeouts = { head: '1s', body: '1s' }
    const { origin, log, admin } = await gatewayOver(t, transport, { listen: { timeouts } })
    const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
    const post = 'POST / HTTP/1.1\r\nHost: a\r\n'
    const cases: readonly (readonly [name: string, bytes: string, verdict: string, server?: string])[] = [
      ['a head', 'GET / HTTP/1.1\r\nHost: ', '408 REQUEST_TIMEOUT'],
      ['a second head', `${get}GET / HT`, '200, 408 REQUEST_TIMEOUT'],
      ['a body', `${post}Content-Length: 10\r\n\r\n01`, '408 REQUEST_TIMEOUT'],
      ['a body of which nothing comes', `${post}Content-Length: 10\r\n\r\n`, '408 REQUEST_TIMEOUT'],
      ['a body in chunks', `${post}${chunked}\r\n\r\n2\r\n01\r\n`, '408 REQUEST_TIMEOUT'],
      ['a body of HTTP/1.0', 'POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\n01', '408 REQUEST_TIMEOUT'],
      [
        'a body behind a whole request',
        `${get}${post}Content-Length: 10\r\n\r\n01`,
        '200, 408 REQUEST_TIMEOUT'
      ],
      [
        'a body at a door',
        'POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"',
        '408 REQUEST_TIMEOUT'
      ],
      [
        'a body at the admin listener',
        'POST /admin/verify HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{"',
        '401 UNAUTHENTICATED',
        admin
      ]
    ]
    await Promise.all(
      cases.map(async ([name, bytes, verdict, server = origin]) => {
        t.equal(verdicts(await exchange(server, bytes, 10_000)).join(', '), verdict, name)
      })
    )
    const asked = new RawClient(origin).write(`${post}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n`)
    await asked.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/)
    t.match(await asked.ended(10_000), /\r\n\r\nHTTP\/1\.1 408 /, 'a body that was asked for')
    const lines = log().filter(({ reason }) => reason === 'body_timeout')
    t.equal(lines.length, 7, 'each has one line')
    t.ok(
      lines.every(
        ({ msg, status, verdict }) => msg === 'request' && status === 408 && verdict === 'REQUEST_TIMEOUT'
      )
    )
    const metrics = await (await fetch(`${admin}/metrics`)).text()
    t.match(metrics, /tollkeeper_refusals_total\{code="REQUEST_TIMEOUT",reason="body_timeout"\} 7\n/)
  })

  t.test(`a body that comes slowly but steadily is not cut, over ${transport}`, async (t) => {
    const { origin } = await gatewayOver(t, transport, { listen: { timeouts: { body: '1s' } } })
    const client = new RawClient(origin).write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n')
    for (let count = 0; count < 12; count += 1) {
      await new Promise((resolve) => setTimeout(resolve, 300))
      client.write('x')
    }
    t.match(await client.until(/POST 12/), /^HTTP\/1\.1 200 /)
    client.close()
  })
}

t.test('a reload changes every bound, also for connections that are open', async (t) => {
  const { origin, reconfigure } = await gatewayOver(t, 'auto')
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const next = (listen: object) => ({ ...configFor([up.url]), listen: { ...local, ...listen } })
  const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`
  const slow = new RawClient(origin).write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01')
  const client = new RawClient(origin).write(get(`/?${'q'.repeat(2000)}`))
  await client.until(/^HTTP\/1\.1 200 /)
  await reconfigure(next({ maxURL: '1KiB', maxHead: '4KiB', maxHeaders: 3, timeouts: { body: '1s' } }))
  client.write(get(`/?${'q'.repeat(2000)}`))
  t.match(await client.ended(), /HTTP\/1\.1 414 /)
  t.match(await exchange(origin, `GET / HTTP/1.1\r\nHost: a\r\n${headers(3)}\r\n`), /^HTTP\/1\.1 431 /)
  const large = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(5000)}\r\n\r\n`
  t.match(await exchange(origin, large), /HEADERS_TOO_LARGE/)
  t.match(await slow.ended(8000), /^HTTP\/1\.1 408 /)
})
