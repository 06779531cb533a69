import { createServer } from 'node:https'
import t, { type Test } from 'tap'
import { authority, certificate, privateKey } from '../support/certificates.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import {
  closedPort,
  configFor,
  exchange,
  httpUpstream,
  listen,
  RawClient,
  rawUpstream,
  scripted
} from '../support/upstream.ts'

/** What a gateway made of Fastify's proxy as its documentation shows it gets wrong over HTTP; none of it may be true of ours. */
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** A service that answers every request without a body, and a gateway before it. */
async function asked(t: Test) {
  const up = await scripted(t, ok)
  const heads: string[] = []
  up.server.on('connection', (socket) => socket.on('data', (bytes) => heads.push(bytes.toString('latin1'))))
  const { origin } = await startGateway(t, configFor([up.url]))
  const send = (headers: string, host = 'Host: a.example\r\n') =>
    exchange(origin, `GET / HTTP/1.1\r\n${host}${headers}Connection: close\r\n\r\n`)
  return { heads, send }
}

t.test('a 503 of the service is passed on once and never asked for again', async (t) => {
  const up = await httpUpstream(t, (_, response) =>
    response.writeHead(503, { 'retry-after': '7' }).end('busy')
  )
  const { origin } = await startGateway(t, configFor([up.url, up.url.replace('127.0.0.1', 'localhost')]))
  const response = await fetch(`${origin}/`)
  t.equal(response.status, 503)
  t.equal(response.headers.get('retry-after'), '7')
  t.equal(await response.text(), 'busy')
  t.equal(up.requests.length, 1)
})

t.test('a service that refuses or resets is a 502 problem without its address', async (t) => {
  const refusing = `http://127.0.0.1:${await closedPort()}`
  const resetting = await rawUpstream(t, ({ socket }) => socket.resetAndDestroy())
  const codes = { [refusing]: 'UPSTREAM_CONNECT', [resetting.url]: 'UPSTREAM_BROKEN' }
  for (const [url, code] of Object.entries(codes)) {
    const { origin } = await startGateway(t, configFor([url]))
    const answer = await ask('POST', `${origin}/`, { json: {} })
    t.equal(answer.status, 502)
    t.match(answer.headers.get('content-type'), /^application\/problem\+json/)
    t.equal(answer.body.code, code)
    t.notMatch(answer.text + JSON.stringify([...answer.headers]), /127\.0\.0\.1|ECONN|:\d{4,5}\b/)
  }
  t.ok(resetting.connections[0]!.received.startsWith('POST / '), 'the reset came after the request')
})

t.test("a service's Connection: keep-alive is not relayed to a client that sent close", async (t) => {
  const up = await scripted(
    t,
    'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=77\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok'
  )
  const { origin } = await startGateway(t, configFor([up.url]))
  const answer = await exchange(origin, 'GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n')
  t.match(answer, /\r\nX-End: 1\r\n.*\r\n\r\nok$/is)
  t.match(answer, /\r\nConnection: close\r\n/i)
  t.notMatch(answer, /keep-alive|timeout=77/i)
})

t.test('an https service nobody vouches for is 502 and gets no request, with its ca it is 200', async (t) => {
  let served = 0
  const server = createServer({ key: privateKey, cert: certificate }, (request, response) => {
    served += 1
    request.pipe(response)
  })
  const url = `https://localhost:${await listen(t, server)}`
  const doubted = await startGateway(t, configFor([url]))
  t.equal((await ask('POST', `${doubted.origin}/`, { form: 'secret' })).status, 502)
  t.equal(served, 0, 'the request was not sent')
  const config = configFor([url], { service: { tls: { ca: 'ca.pem' } } })
  const trusted = await startGateway(t, config, { files: { 'ca.pem': authority } })
  const answer = await ask('POST', `${trusted.origin}/`, { form: 'secret' })
  t.same([answer.status, answer.text, served], [200, 'secret', 1])
})

t.test(
  'clients that left do not wedge a pool: their requests are cancelled and their places free',
  async (t) => {
    const up = await httpUpstream(t, (request, response) => {
      if (request.url === '/next') response.end('ok')
    })
    const service = { connections: { max: 4 } }
    const { origin } = await startGateway(t, configFor([up.url], { service }))
    const clients = Array.from({ length: 4 }, () =>
      new RawClient(origin).write('GET /silent HTTP/1.1\r\nHost: a\r\n\r\n')
    )
    while (up.requests.length < 4) await pause(3)
    const cancelled = up.requests.map(
      ({ socket }) => new Promise<void>((resolve) => socket.once('close', () => resolve()))
    )
    const waiting = ask('GET', `${origin}/next`)
    await pause(50)
    t.equal(up.requests.length, 4, 'every place is taken')
    for (const client of clients) client.close()
    await Promise.all(cancelled)
    t.equal((await waiting).text, 'ok')
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask('GET', `${origin}/next`)))
    t.ok(answers.every(({ text }) => text === 'ok'))
  }
)

t.test('a response timeout far below 300 seconds holds', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    if (request.url === '/quick') response.end('ok')
  })
  const service = { timeouts: { response: '200ms' } }
  const { origin } = await startGateway(t, configFor([up.url], { service }))
  t.equal((await ask('GET', `${origin}/quick`)).text, 'ok')
  // The client gives up after five seconds.
  const answer = await ask('GET', `${origin}/silent`)
  t.same([answer.status, answer.body.code], [504, 'UPSTREAM_TIMEOUT'])
})

t.test('Expect, Keep-Alive and Upgrade: h2c of a client are served and stay here', async (t) => {
  const { heads, send } = await asked(t)
  const hops = {
    Expect: 'Expect: 100-continue\r\n',
    'Keep-Alive': 'Keep-Alive: timeout=5\r\n',
    Upgrade: 'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n'
  }
  for (const [name, header] of Object.entries(hops)) {
    t.match(await send(`X-End: ${name}\r\n${header}`), /^(HTTP\/1\.1 100 .*)?HTTP\/1\.1 200 .*ok$/s, name)
    t.match(heads.at(-1), `\r\nX-End: ${name}\r\n`)
    t.notMatch(heads.at(-1), /\r\n(expect|keep-alive|upgrade|http2-settings):/i, name)
  }
  t.equal(heads.length, 3)
})

t.test('the body limit holds for proxied bodies, announced or chunked', async (t) => {
  const up = await httpUpstream(t, (request, response) =>
    request.resume().on('end', () => response.end('ok'))
  )
  const { origin } = await startGateway(t, configFor([up.url], { route: { maxBody: '1KiB' } }))
  const good = await fetch(`${origin}/`, { method: 'POST', body: 'x'.repeat(1024) })
  t.equal(good.status, 200)
  const announced = await fetch(`${origin}/`, { method: 'POST', body: 'x'.repeat(1025) })
  t.equal(announced.status, 413)
  t.equal(((await announced.json()) as { code: string }).code, 'BODY_TOO_LARGE')
  t.equal(up.requests.length, 1, 'what announces too much is not sent at all')
  const client = new RawClient(origin).write(
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n${'x'.repeat(1024)}\r\n1\r\nx\r\n`
  )
  t.match(await client.until(/BODY_TOO_LARGE/), /^HTTP\/1\.1 413 /)
  client.close()
  const chunkedGood = await exchange(
    origin,
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n0\r\n\r\n'
  )
  t.match(chunkedGood, /^HTTP\/1\.1 200 /)
})

t.test('no header is dropped silently: all arrive, or the request is refused', async (t) => {
  const { heads, send } = await asked(t)
  const many = (count: number) => Array.from({ length: count }, (_, index) => `x${index}: 1\r\n`).join('')
  t.match(await send(many(95)), /^HTTP\/1\.1 200 /)
  t.equal(heads.join('').match(/\r\nx\d+: 1/g)?.length, 95)
  heads.length = 0
  t.match(await send(many(1500)), /^HTTP\/1\.1 431 /)
  t.match(await send(many(5000)), /^HTTP\/1\.1 431 /)
  t.equal(heads.length, 0)
})

t.test('a duplicate or malformed Host is refused and never forwarded', async (t) => {
  const { heads, send } = await asked(t)
  const bad = [
    'Host: a\r\nHost: b\r\n',
    'Host: a\r\nHost: a\r\n',
    '',
    'Host: a/b\r\n',
    'Host: u@a\r\n',
    'Host: a, b\r\n'
  ]
  for (const host of bad) t.match(await send('', host), /^HTTP\/1\.1 400 /, JSON.stringify(host))
  t.equal(heads.length, 0)
  t.match(await send('', 'Host: a:80\r\n'), /^HTTP\/1\.1 200 /)
  t.equal(heads.length, 1)
})

t.test("a client's X-Forwarded headers are not believed", async (t) => {
  const { heads, send } = await asked(t)
  const names = ['For', 'Host', 'Proto', 'Port', 'Prefix', 'User']
  const forged = names.map((name) => `X-Forwarded-${name}: forged\r\n`).join('')
  t.match(await send(`${forged}Forwarded: for=forged\r\nX-Told: honest\r\n`), /^HTTP\/1\.1 200 /)
  t.match(heads[0], /\r\nX-Told: honest\r\n/)
  t.notMatch(heads[0], /forged/)
  t.match(heads[0], /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/)
  t.match(heads[0], /\r\nX-Forwarded-Host: a\.example\r\n/)
  t.match(heads[0], /\r\nX-Forwarded-Proto: http\r\n/)
})

t.test(
  'a body sent as gzip, chunked does not lose its gzip: it is refused, and one that is chunked passes',
  async (t) => {
    const up = await httpUpstream(t, (request, response) => request.pipe(response))
    const { origin } = await startGateway(t, configFor([up.url]))
    const send = (coding: string) =>
      exchange(
        origin,
        `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ${coding}\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n`
      )
    t.match(await send('gzip, chunked'), /^HTTP\/1\.1 501 /)
    t.equal(up.requests.length, 0)
    t.match(await send('chunked'), /^HTTP\/1\.1 200 .*body/s)
  }
)

t.test('a GET keeps its body, and a body is not invented', async (t) => {
  const up = await rawUpstream(t, (connection) => {
    if (!/(?:body|0\r\n\r\n|GET \/none.*\r\n\r\n)$/s.test(connection.received)) return
    connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const send = async (bytes: string) => {
    for (const connection of up.connections) connection.received = ''
    const client = new RawClient(origin).write(bytes)
    await client.until(/\r\n\r\n/)
    client.close()
    return up.connections.map(({ received }) => received).join('')
  }
  const host = 'Host: a\r\n'
  t.match(
    await send(`GET /a HTTP/1.1\r\n${host}Content-Length: 4\r\n\r\nbody`),
    /\r\nContent-Length: 4\r\n\r\nbody$/
  )
  t.match(
    await send(`DELETE /a HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n`),
    /\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n$/
  )
  const none = await send(`GET /none HTTP/1.1\r\n${host}\r\n`)
  t.notMatch(none, /content-length|transfer-encoding/i)
})

t.test('an early 413 of the service reaches a client that is still sending, and hangs nobody', async (t) => {
  const up = await rawUpstream(t, (connection) => {
    if (connection.socket.bytesWritten > 0 || !connection.received.includes('\r\n\r\n')) return
    connection.socket.write(
      'HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig'
    )
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  for (const framing of ['Content-Length: 10000000', 'Transfer-Encoding: chunked', 'Content-Length: 10']) {
    const client = new RawClient(origin).write(`POST /a HTTP/1.1\r\nHost: a.example\r\n${framing}\r\n\r\n`)
    const answer = await client.until(/big$/)
    t.match(answer, /^HTTP\/1\.1 413 Payload Too Large\r\n/, framing)
    client.close()
  }
  t.equal((await fetch(`${origin}/next`, { method: 'POST', body: 'x' })).status, 413)
})

t.test(
  'a paused connection to the service is never used again: after each wave of clients that left, all are answered',
  async (t) => {
    const up = await httpUpstream(t, (request, response) => {
      if (request.url === '/big') {
        response.writeHead(200, { 'content-length': 20_000_000 })
        response.write(Buffer.alloc(500_000))
        const more = setInterval(() => response.write(Buffer.alloc(100_000)), 5)
        response.on('close', () => clearInterval(more))
      } else setTimeout(() => response.end('ok'), 5)
    })
    const service = { connections: { max: 64 } }
    const { origin } = await startGateway(t, configFor([up.url], { service }))
    for (let wave = 0; wave < 3; wave += 1) {
      const leaving = Array.from({ length: 200 }, async (_, index) => {
        const client = new RawClient(origin).write(
          `GET ${index % 2 ? '/big' : '/slow'} HTTP/1.1\r\nHost: a\r\n\r\n`
        )
        // Some leave before the answer, some in the middle of it without having read.
        if (index % 4 === 1) client.socket.pause()
        await pause(index % 40)
        client.close()
      })
      await Promise.all(leaving)
      const answers = await Promise.all(
        Array.from({ length: 64 }, async () => (await fetch(`${origin}/small`)).text())
      )
      t.ok(
        answers.every((text) => text === 'ok'),
        `wave ${wave}`
      )
    }
    await pause(50)
    const open = await new Promise<number>((resolve) =>
      up.server.getConnections((_, count) => resolve(count))
    )
    t.ok(open <= 64, `${open} connections to the service`)
  }
)
