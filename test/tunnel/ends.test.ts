import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { closing, type End, frame, noise, tunnelService } from '../support/frames.ts'
import { startGateway } from '../support/gateway.ts'
import { eventually } from '../support/own-process.ts'
import { configFor, exchange, RawClient, rawUpstream } from '../support/upstream.ts'

/** How tunnels begin and end: each side learns what it would have learnt without a gateway between. */

type Leave = (end: End) => void

const leaves: Record<string, Leave> = {
  'a reset': ({ socket }) => void socket.resetAndDestroy(),
  'an end without a close frame': ({ socket }) => void socket.end(),
  'a close frame, then an end': ({ socket }) => void socket.end(closing(1000, 'bye', { isMasked: true })),
  'an end in the middle of a frame': ({ socket }) => void socket.end(frame(2, noise(300)).subarray(0, 100)),
  'a megabyte, then an end': ({ socket }) => void socket.end(frame(2, noise(1_048_576)))
}

/** Opens tunnels straight to a service and through a gateway. */
async function twoWays(t: Test) {
  const up = await tunnelService(t)
  const { origin } = await startGateway(t, configFor([up.url]))
  return { up, ways: [up.url, origin] }
}

for (const from of ['client', 'service'] as const) {
  const to = from === 'client' ? 'service' : 'client'
  t.test(`every way in which a ${from} leaves is seen by the ${to} as it is`, async (t) => {
    const { up, ways } = await twoWays(t)
    for (const [name, leave] of Object.entries(leaves)) {
      const seen: object[] = []
      for (const way of ways) {
        const ends = await up.open(way)
        ends.client.socket.write('from the client')
        ends.service.socket.write('from the service')
        await Promise.all([ends.client.got(16), ends.service.got(15)])
        leave(ends[from])
        const ending = await ends[to].ended()
        seen.push({ ending, received: ends[to].received.toString('base64') })
        ends[to].socket.destroy()
      }
      t.same(seen[1], seen[0], name)
    }
  })

  t.test(`a ${from} that ended its side still gets what the ${to} says, and then its end`, async (t) => {
    const { up, ways } = await twoWays(t)
    for (const way of ways) {
      const ends = await up.open(way)
      ends[from].socket.end(closing(1000))
      t.equal(await ends[to].ended(), 'end')
      for (const word of ['one', 'two', 'three']) {
        ends[to].socket.write(word)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      ends[to].socket.end(noise(200_000))
      t.equal(await ends[from].ended(), 'end')
      t.equal(ends[from].size, 11 + 200_000)
    }
  })
}

t.test('bytes that come along with the handshake, on either side, are the first of the tunnel', async (t) => {
  const { up, ways } = await twoWays(t)
  for (const size of [1, 5000, 65_536, 1_000_000]) {
    const early = { client: frame(2, noise(size), { isMasked: true }), service: frame(2, noise(size)) }
    for (const way of ways) {
      const { client, service } = await up.open(way, { early })
      client.socket.write('then this')
      service.socket.write('then that')
      await Promise.all([client.got(early.service.length + 9), service.got(early.client.length + 9)])
      t.ok(client.received.equals(Buffer.concat([early.service, Buffer.from('then that')])), `${size}`)
      t.ok(service.received.equals(Buffer.concat([early.client, Buffer.from('then this')])), `${size}`)
    }
  }
})

const asks =
  'GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

/** The body of an answer, out of its chunks where it came in chunks. */
function bodyOf(answer: string): string {
  const at = answer.indexOf('\r\n\r\n') + 4
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(answer.slice(0, at))) return answer.slice(at)
  let body = ''
  for (let rest = answer.slice(at); ; ) {
    const line = rest.indexOf('\r\n')
    const size = Number.parseInt(rest.slice(0, line), 16)
    if (!(size > 0)) return body
    body += rest.slice(line + 2, line + 2 + size)
    rest = rest.slice(line + 4 + size)
  }
}

t.test('a service that does not agree is heard with all it has to say', async (t) => {
  const long = 'why not '.repeat(50_000)
  const answers: Record<string, [string, RegExp]> = {
    'a body with a length': [
      `HTTP/1.1 400 Bad Request\r\nX-Why: version\r\nContent-Length: ${long.length}\r\n\r\n${long}`,
      /^HTTP\/1\.1 400 Bad Request\r\nX-Why: version\r\n/
    ],
    'a body in chunks': [
      `HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n${long.length.toString(16)}\r\n${long}\r\n0\r\n\r\n`,
      /^HTTP\/1\.1 503 Service Unavailable\r\nRetry-After: 7\r\n/
    ],
    'a body up to the end of the connection': [
      `HTTP/1.1 403 Forbidden\r\n\r\n${long}`,
      /^HTTP\/1\.1 403 Forbidden\r\n/
    ],
    'interim answers before it': [
      `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 426 Upgrade Required\r\nContent-Length: ${long.length}\r\n\r\n${long}`,
      /^HTTP\/1\.1 426 Upgrade Required\r\n/
    ],
    'an ordinary 200': [
      `HTTP/1.1 200 OK\r\nContent-Length: ${long.length}\r\n\r\n${long}`,
      /^HTTP\/1\.1 200 OK\r\n/
    ]
  }
  for (const [name, [answer, head]] of Object.entries(answers)) {
    const up = await rawUpstream(t, ({ socket }) => void socket.end(answer))
    const { origin } = await startGateway(t, configFor([up.url]))
    const client = new RawClient(origin).write(asks)
    await client.ended().catch(() => {})
    const heard = client.received
    client.close()
    t.ok(head.test(heard), `${name}: the head`)
    t.ok(bodyOf(heard) === long, `${name}: the body`)
    t.equal(up.connections.length, 1, `${name}: asked once`)
  }
})

t.test('a service that neither agrees nor refuses is given up in time, however busy it looks', async (t) => {
  const words = {
    'says nothing': () => '',
    'stops in the middle of the head': () => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: web',
    'drips its head without an end': (socket: { write(text: string): unknown }) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nX-Long: ')
      const timer = setInterval(() => socket.write('x'), 20)
      t.teardown(() => clearInterval(timer))
      return ''
    },
    'says for ever that it will': (socket: { write(text: string): unknown }) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20)
      t.teardown(() => clearInterval(timer))
      return ''
    }
  }
  for (const [name, say] of Object.entries(words)) {
    const up = await rawUpstream(t, ({ socket }) => void socket.write(say(socket)))
    const service = { timeouts: { response: '300ms' } }
    const { origin } = await startGateway(t, configFor([up.url], { service }))
    const heard = await exchange(origin, asks, 10_000)
    t.match(heard, /^HTTP\/1\.1 50[24] .*"code":"UPSTREAM_(TIMEOUT|BROKEN)"/s, name)
    await eventually(`the connection to a service that ${name} ends`, () =>
      up.connections.every(({ socket }) => socket.readableEnded || socket.destroyed)
    )
  }
})

t.test('a client that leaves while the service thinks about it takes its question along', async (t) => {
  const up = await rawUpstream(t, () => {})
  const { origin } = await startGateway(t, configFor([up.url]))
  for (const leave of ['end', 'resetAndDestroy', 'destroy'] as const) {
    const { hostname, port } = new URL(origin)
    const client = connect(Number(port), hostname)
    client.on('error', () => {})
    client.write(asks)
    const before = up.connections.length
    await eventually('the service is asked', () => up.connections.length > before)
    client[leave]()
    const { socket } = up.connections.at(-1)!
    await eventually(`${leave} is told`, () => socket.readableEnded || socket.destroyed)
  }
  t.equal(up.connections.length, 3, 'and nobody asks again')
})
