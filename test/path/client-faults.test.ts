import { connect } from 'node:net'
import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { keepsSpelling } from '../support/transports.ts'
import { configFor, exchange, httpUpstream, RawClient, rawUpstream } from '../support/upstream.ts'

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

t.test('a client that leaves cancels its upstream request, before the answer and within it', async (t) => {
  const up = await rawUpstream(t, (connection) => {
    if (connection.received.startsWith('GET /stream')) {
      connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart')
    }
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  for (const path of ['/silent', '/stream']) {
    const client = new RawClient(origin).write(`GET ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`)
    while (!up.connections.at(-1)?.received.includes(path)) await pause(3)
    if (path === '/stream') await client.until(/part/)
    const { socket } = up.connections.at(-1)!
    const closed = new Promise<void>((resolve) =>
      socket.once('close', () => resolve()).once('end', () => resolve())
    )
    client.close()
    await closed
    t.pass(`${path} is cancelled`)
  }
})

t.test('an early answer is heard although the service resets the connection behind it', async (t) => {
  const up = await rawUpstream(t, ({ socket }) => {
    if (socket.bytesWritten > 0) return
    socket.write('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig')
    // With unread bytes behind it this is a reset.
    socket.destroySoon()
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  for (let count = 0; count < 10; count += 1) {
    const response = await fetch(`${origin}/`, { method: 'POST', body: Buffer.alloc(3_000_000) })
    t.equal(response.status, 413)
    t.equal(await response.text(), 'big')
  }
})

t.test('an early answer to a client that sends everything reaches it', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.writeHead(401).end('no'))
  const { origin } = await startGateway(t, configFor([up.url]))
  for (let count = 0; count < 5; count += 1) {
    const response = await fetch(`${origin}/`, { method: 'POST', body: Buffer.alloc(3_000_000) })
    t.equal(response.status, 401)
    t.equal(await response.text(), 'no')
  }
})

t.test(
  'Expect: 100-continue is answered when the body is wanted, and never reaches the service',
  async (t) => {
    const up = await httpUpstream(t, (request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => response.end(`${request.headers.expect} ${body}`))
    })
    const { origin } = await startGateway(t, configFor([up.url], { route: { path: '/a' } }))
    const head = (path: string, expect = '100-continue') =>
      `POST ${path} HTTP/1.1\r\nHost: a\r\nExpect: ${expect}\r\nContent-Length: 4\r\n\r\n`
    const client = new RawClient(origin).write(head('/a'))
    await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/)
    client.write('body')
    await client.until(/undefined body$/)
    client.write('GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    t.match(await client.ended(), /undefined $/, 'the connection goes on')
    const refused = await new RawClient(origin).write(head('/b')).ended()
    t.match(refused, /^HTTP\/1\.1 404 /, 'a refused request is not asked for its body')
    t.match(
      await new RawClient(origin).write(head('/a', 'a-pony')).ended(),
      /^HTTP\/1\.1 417 .*EXPECTATION_FAILED/s
    )
  }
)

t.test('a body sent in drips arrives whole, and a client that stops sending gets 408', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => response.end(body))
  })
  const { origin } = await startGateway(
    t,
    configFor([up.url], { service: { timeouts: { idle: '200ms', response: '100ms' } } })
  )
  const client = new RawClient(origin).write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n')
  for (const byte of '0123456789') {
    await pause(30)
    client.write(byte)
  }
  await client.until(/0123456789/)
  client.close()
  const silent = await rawUpstream(t, () => {})
  const second = await startGateway(
    t,
    configFor([silent.url], { service: { timeouts: { idle: '100ms', response: '5s' } } })
  )
  const stalled = new RawClient(second.origin).write(
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01'
  )
  t.match(await stalled.until(/REQUEST_TIMEOUT/), /^HTTP\/1\.1 408 /)
})

t.test('a client that does not read holds its answer up, not the memory, and ends in time', async (t) => {
  let written = 0
  const up = await httpUpstream(t, (_, response) => {
    response.writeHead(200)
    const chunk = Buffer.alloc(256 * 1024)
    const more = (): void => {
      while (written < 200 * 1024 * 1024) {
        written += chunk.length
        if (!response.write(chunk)) return void response.once('drain', more)
      }
    }
    more()
  })
  const { origin } = await startGateway(t, {
    ...configFor([up.url]),
    listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0', timeouts: { send: '400ms' } }
  })
  const client = new RawClient(origin).write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  client.socket.pause()
  await pause(250)
  t.ok(written < 60 * 1024 * 1024, `${written} bytes were taken from the service`)
  const open = () => new Promise<number>((resolve) => up.server.getConnections((_, count) => resolve(count)))
  const deadline = performance.now() + 8000
  while ((await open()) > 0 && performance.now() < deadline) await pause(50)
  t.equal(await open(), 0, 'the service is not kept waiting for ever')
  client.close()
})

t.test('server-sent events come one by one, the head before the first', async (t) => {
  const events: (() => void)[] = []
  const up = await httpUpstream(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    events.push(() => response.write(`data: ${events.length}\n\n`))
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until(/text\/event-stream\r\n.*\r\n\r\n$/s)
  events[0]!()
  await client.until(/data: 1\n\n/)
  events[0]!()
  await client.until(/data: 1\n\n.*data: 1\n\n/s)
  client.close()
})

t.test('HEAD, 204 and 304 have no body, and only HEAD uses its connection up', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    if (request.url === '/204') response.writeHead(204).end()
    else if (request.url === '/304') response.writeHead(304, { etag: '"a"', 'content-length': '5' }).end()
    else response.writeHead(200, { 'content-length': '5' }).end('12345')
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin)
  for (const [line, expected] of [
    ['HEAD /a', /^HTTP\/1\.1 200 .*\r\ncontent-length: 5\r\n.*\r\n\r\n$/is],
    ['GET /204', /^HTTP\/1\.1 204 .*\r\n\r\n$/s],
    ['GET /304', /^HTTP\/1\.1 304 .*\r\netag: "a"\r\n.*\r\n\r\n$/is],
    ['GET /a', /^HTTP\/1\.1 200 .*\r\n\r\n12345$/s]
  ] as const) {
    client.received = ''
    client.write(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`)
    t.match(await client.until(expected), expected, line)
  }
  client.close()
  // What a server that takes HEAD for GET sends a moment later must not meet the next request.
  t.equal(new Set(up.requests.map(({ socket }) => socket)).size, 2, 'HEAD had one of its own')
})

t.test('pipelined requests are answered in order', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    setTimeout(() => response.end(request.url), request.url === '/1' ? 60 : 0)
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const one = (path: string, extra = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${extra}\r\n`
  const answer = await exchange(origin, one('/1') + one('/2') + one('/3', 'Connection: close\r\n'))
  t.match(answer, /\/1HTTP\/1\.1.*\/2HTTP\/1\.1.*\/3$/s)
})

t.test('HTTP/1.0 gets an answer it can read, and keeps the connection only when it asks', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    if (request.url === '/length') response.writeHead(200, { 'content-length': 2 })
    response.write('o')
    response.end('k')
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const plain = await exchange(origin, 'GET /a HTTP/1.0\r\n\r\n')
  t.match(plain, /\r\n\r\nok$/)
  t.notMatch(plain, /chunked/i)
  const kept = new RawClient(origin).write(
    'GET /length HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n'
  )
  t.match(await kept.until(/ok$/), /\r\nConnection: keep-alive\r\n/i)
  kept.close()
})

t.test("any method and any content type are the service's to judge", async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    request.resume().on('end', () => response.end(`${request.method} ${request.headers['content-type']}`))
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  for (const [method, type] of [
    ['PROPFIND', 'text/xml'],
    ['POST', 'garbage'],
    ['POST', ';;;'],
    ['PUT', 'application/json; charset=nonsense'],
    ['QUERY', 'a/b'],
    ['QUERY', undefined],
    ['PATCH', 'multipart/form-data']
  ] as const) {
    const typed = type === undefined ? '' : `Content-Type: ${type}\r\n`
    const answer = await exchange(
      origin,
      `${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${typed}Content-Length: 1\r\n\r\n{`
    )
    t.match(answer, new RegExp(`^HTTP/1\\.1 200 .*${method} ${type}$`, 's'), `${method} ${type}`)
  }
})

t.test('a body of many megabytes passes in both directions unchanged', async (t) => {
  const up = await httpUpstream(t, (request, response) => request.pipe(response))
  const { origin } = await startGateway(t, configFor([up.url]))
  const body = Buffer.from(Array.from({ length: 5_000_000 }, (_, index) => (index * 7) % 256))
  const response = await fetch(`${origin}/`, { method: 'POST', body })
  t.ok(Buffer.from(await response.arrayBuffer()).equals(body))
  const stream = new ReadableStream({
    start(controller) {
      for (let index = 0; index < 50; index += 1)
        controller.enqueue(new Uint8Array(body.subarray(index * 100_000, (index + 1) * 100_000)))
      controller.close()
    }
  })
  const chunked = await fetch(`${origin}/`, { method: 'POST', body: stream, duplex: 'half' } as RequestInit)
  t.ok(Buffer.from(await chunked.arrayBuffer()).equals(body))
})

t.test('a client that resets its connection breaks nothing', async (t) => {
  const up = await httpUpstream(t, (_, response) => setTimeout(() => response.end('ok'), 10))
  const { origin } = await startGateway(t, configFor([up.url]))
  const { port } = new URL(origin)
  await Promise.all(
    Array.from({ length: 30 }, async (_, index) => {
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => {})
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      await pause(index % 15)
      socket.resetAndDestroy()
    })
  )
  t.equal(await (await fetch(`${origin}/`)).text(), 'ok')
})

t.test('trailers of the service reach the client', { skip: !keepsSpelling }, async (t) => {
  const up = await httpUpstream(t, (_, response) => {
    response.writeHead(200, { trailer: 'X-Sum' })
    response.write('ok')
    response.addTrailers({ 'X-Sum': '42' })
    response.end()
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const answer = await exchange(
    origin,
    'GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n'
  )
  t.match(answer, /\r\n0\r\nX-Sum: 42\r\n\r\n$/)
})
