import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { eventually } from '../support/own-process.ts'
import { configFor, exchange, RawClient, type RawConnection, rawUpstream } from '../support/upstream.ts'

/** What comes in pieces goes on in pieces, both ways: each is awaited at the far end before the next one is sent. */

const asks = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

/** A service that answers with a head and lets the test say the rest. */
async function speaking(t: Parameters<typeof rawUpstream>[0], head: string) {
  let found: (connection: RawConnection) => void
  const asked = new Promise<RawConnection>((resolve) => {
    found = resolve
  })
  const up = await rawUpstream(t, (connection) => {
    if (connection.socket.bytesWritten > 0 || !connection.received.includes('\r\n\r\n')) return
    connection.socket.write(head)
    found(connection)
  })
  return { url: up.url, asked }
}

const pieces = Array.from({ length: 30 }, (_, index) => `<${index}${'.'.repeat(index % 4)}>`)
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`

for (const [name, head, write] of [
  [
    'with a length',
    `HTTP/1.1 200 OK\r\nContent-Length: ${pieces.join('').length}\r\n\r\n`,
    (text: string) => text
  ],
  ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunk],
  ['up to the end of the connection', 'HTTP/1.1 200 OK\r\n\r\n', (text: string) => text],
  [
    'as events',
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
    (text: string) => chunk(`data: ${text}\n\n`)
  ]
] as const) {
  t.test(`an answer that drips flows piece by piece, ${name}`, async (t) => {
    const { url, asked } = await speaking(t, head)
    const { origin } = await startGateway(t, configFor([url]))
    const client = new RawClient(origin).write(asks())
    await client.until(/^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n/s)
    const { socket } = await asked
    for (const piece of pieces) {
      socket.write(write(piece))
      await eventually(`${piece} arrives`, () => client.received.includes(piece))
    }
    t.equal(client.received.match(/<\d+\.*>/g)?.join(''), pieces.join(''))
    client.close()
  })
}

for (const [name, framing, write] of [
  ['with a length', `Content-Length: ${pieces.join('').length}`, (text: string) => text],
  ['in chunks', 'Transfer-Encoding: chunked', chunk]
] as const) {
  t.test(`a request that drips flows piece by piece, ${name}`, async (t) => {
    const up = await rawUpstream(t, () => {})
    const { origin } = await startGateway(t, configFor([up.url]))
    const client = new RawClient(origin).write(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`)
    const got = () => up.connections[0]?.received ?? ''
    for (const piece of pieces) {
      client.write(write(piece))
      await eventually(`${piece} arrives`, () => got().includes(piece))
    }
    if (framing.startsWith('Transfer')) client.write('0\r\n\r\n')
    t.equal(
      got()
        .match(/<\d+\.*>/g)
        ?.join(''),
      pieces.join('')
    )
    up.connections[0]!.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone')
    await client.until(/done$/)
    client.close()
  })
}

t.test('both directions of one exchange flow at the same time', async (t) => {
  const up = await rawUpstream(t, (connection) => {
    const { socket } = connection
    if (socket.bytesWritten === 0) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    for (const [word] of connection.received.matchAll(/<\d+\.*>/g)) socket.write(chunk(word.toUpperCase()))
    connection.received = ''
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin).write(
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
  )
  for (const piece of pieces) {
    client.write(chunk(piece))
    await client.until(new RegExp(piece.replaceAll('.', '\\.')))
  }
  t.pass('each piece was answered before the next')
  client.close()
})

t.test('interim answers never stand for the answer, wherever they are cut', async (t) => {
  const interim = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n'
  const answer = `${interim}${interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok`
  for (const size of [1, 7, 60, answer.length]) {
    const up = await rawUpstream(t, async (connection) => {
      if (!connection.received.endsWith('\r\n\r\n')) return
      connection.received = ''
      for (let at = 0; at < answer.length; at += size) {
        connection.socket.write(answer.slice(at, at + size))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })
    const { origin } = await startGateway(t, configFor([up.url]))
    const client = new RawClient(origin)
    for (let round = 0; round < 3; round += 1) {
      client.received = ''
      client.write(asks())
      await client.until(/\r\n\r\nok$/)
      // Whether or not a client is told of them, what counts comes last, and once.
      t.equal(client.received.match(/HTTP\/1\.1 200 OK\r\n/g)?.length, 1)
      t.match(client.received, /HTTP\/1\.1 200 OK\r\n(?:.*\r\n)*X-A: b\r\n/)
    }
    t.equal(up.connections.length, 1, `over one connection, in pieces of ${size}`)
    client.close()
  }
})

t.test('a refusal before the body was sent reaches a client that waits for 100 Continue', async (t) => {
  const up = await rawUpstream(t, (connection) => {
    if (connection.socket.bytesWritten > 0 || !connection.received.includes('\r\n\r\n')) return
    connection.socket.write('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig')
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  for (const framing of ['Content-Length: 100000', 'Transfer-Encoding: chunked']) {
    const client = new RawClient(origin).write(
      `POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n${framing}\r\n\r\n`
    )
    t.match(
      await client.until(/big$/),
      /^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 413 Payload Too Large\r\n/
    )
    client.close()
  }
})

t.test("a request's trailers change neither its headers, nor its body, nor the next request", async (t) => {
  const up = await rawUpstream(t, (connection) => {
    if (!/(?:0\r\n(?:[^\r\n]+\r\n)*\r\n|GET .*\r\n\r\n)$/s.test(connection.received)) return
    connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const post = (trailers: string) =>
    `POST /first HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n${trailers}\r\n`
  const second = 'GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
  const answers = await exchange(origin, post('X-Sum: 42\r\nHost: evil\r\nX-User-Id: root\r\n') + second)
  t.equal(answers.match(/HTTP\/1\.1 200 OK/g)?.length, 2)
  const seen = () => up.connections.map(({ received }) => received).join('')
  const [head = '', rest = ''] = seen().split(/\r\n\r\n(.*)/s)
  t.match(head, /^POST \/first HTTP\/1\.1\r\n/)
  t.notMatch(head, /root|evil|x-sum: 42/i)
  // They may be passed on where they belong, but not those that say where a message goes or who is asking.
  t.match(rest, /^4\r\nbody\r\n0\r\n(?:x-sum: 42\r\n)?\r\n/i)
  t.notMatch(seen(), /root|evil/)
  t.equal(seen().match(/GET \/second /g)?.length, 1)
  for (const trailer of ['Content-Length: 7', 'Transfer-Encoding: gzip', 'Transfer-Encoding: chunked']) {
    for (const connection of up.connections) connection.received = ''
    // Refused, or read over: never taken at its word.
    await exchange(origin, post(`${trailer}\r\n`) + second)
    t.notMatch(seen(), /gzip|content-length: 7/i, trailer)
    t.ok((seen().match(/GET \/second /g)?.length ?? 0) <= 1, trailer)
  }
})

const trailing = (t: Parameters<typeof rawUpstream>[0], trailers: string) =>
  rawUpstream(t, (connection) => {
    if (!connection.received.endsWith('\r\n\r\n')) return
    connection.received = ''
    connection.socket.write(
      `HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${trailers}\r\n`
    )
  })

t.test("an answer's trailers come behind its body, without those that are not for the client", async (t) => {
  const up = await trailing(t, 'X-Sum: 42\r\nSet-Cookie: a=b\r\nConnection: close\r\n')
  const { origin } = await startGateway(t, configFor([up.url]))
  const client = new RawClient(origin)
  for (let round = 0; round < 2; round += 1) {
    client.received = ''
    client.write(asks())
    const answer = await client.until(/\r\n0\r\n.*\r\n\r\n$/s)
    t.match(answer, /\r\n0\r\nX-Sum: 42\r\n\r\n$/)
    t.notMatch(answer, /set-cookie/i)
  }
  client.close()
})

t.test('a trailer that would change how the answer is read reaches no client', async (t) => {
  for (const trailer of ['Content-Length: 9', 'Transfer-Encoding: gzip', 'Transfer-Encoding: chunked']) {
    const up = await trailing(t, `X-Sum: 42\r\n${trailer}\r\n`)
    const { origin } = await startGateway(t, configFor([up.url]))
    // Taken out, or the whole answer for broken.
    const answer = await exchange(origin, asks().replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
    t.notMatch(answer.split('\r\n0\r\n')[1] ?? '', /content-length|transfer-encoding/i, trailer)
  }
})
