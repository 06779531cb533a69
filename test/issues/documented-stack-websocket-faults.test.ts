import { once } from 'node:events'
import t from 'tap'
import { WebSocket } from 'ws'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedPort, configFor, RawClient } from '../support/upstream.ts'
import { closed, opened, wsUpstream } from '../support/websocket.ts'

/** What a gateway made of Fastify's proxy as its documentation shows it gets wrong over WebSocket; none of it may be true of ours. */
const toWebSocket = (origin: string) => origin.replace('http', 'ws')

t.test('one ping of a client gets one pong, the service its own', async (t) => {
  const { url, sockets } = await wsUpstream(t)
  const pings: string[] = []
  sockets.on('connection', (socket) => {
    socket.on('ping', (data: Buffer) => pings.push(data.toString()))
    socket.on('message', (data) => socket.send(data as Buffer))
  })
  const { origin } = await startGateway(t, configFor([url]))
  const socket = new WebSocket(toWebSocket(origin))
  await opened(socket)
  const pongs: string[] = []
  socket.on('pong', (data) => pongs.push(data.toString()))
  socket.ping('p1')
  socket.send('behind the ping')
  await once(socket, 'message')
  t.same([pings, pongs], [['p1'], ['p1']])
  socket.terminate()
})

t.test(
  'a connection that breaks is 1006 to the other side, and a code of its own stays what it is',
  async (t) => {
    const { url, sockets } = await wsUpstream(t)
    const ends: number[] = []
    sockets.on('connection', (socket, request) => {
      socket.on('close', (code) => ends.push(code))
      if (request.url === '/abrupt') socket.terminate()
      if (request.url === '/4006') socket.close(4006, 'mine')
    })
    const { origin } = await startGateway(t, configFor([url]))
    const open = (path: string) => {
      const socket = new WebSocket(toWebSocket(origin) + path)
      socket.on('error', () => {})
      return socket
    }
    t.same(await closed(open('/abrupt')), { code: 1006, reason: '' })
    t.same(await closed(open('/4006')), { code: 4006, reason: 'mine' })
    const leaving = open('/')
    await opened(leaving)
    ends.length = 0
    leaving.terminate()
    while (ends.length === 0) await new Promise((resolve) => setTimeout(resolve, 3))
    t.same(ends, [1006])
  }
)

t.test('the subprotocol is the one the service chose, or none', async (t) => {
  const offers: string[][] = []
  const { url } = await wsUpstream(t, {
    handleProtocols: (offered: Set<string>) => {
      offers.push([...offered])
      return offered.has('two') ? 'two' : false
    }
  })
  const { origin } = await startGateway(t, configFor([url]))
  const chosen = new WebSocket(toWebSocket(origin), ['one', 'two', 'three'])
  await opened(chosen)
  t.equal(chosen.protocol, 'two')
  chosen.terminate()
  const none = new WebSocket(toWebSocket(origin), ['one'])
  none.on('error', () => {})
  const [response] = await once(none, 'upgrade')
  t.equal(response.headers['sec-websocket-protocol'], undefined)
  none.terminate()
  t.same(offers, [['one', 'two', 'three'], ['one']])
})

t.test('no upgrade, whatever becomes of it, ends the process or the other connections', async (t) => {
  const { url, sockets } = await wsUpstream(t)
  sockets.on('connection', (socket) => {
    socket.on('error', () => {})
    socket.on('message', (data) => socket.send(data as Buffer))
  })
  sockets.options.server!.on('request', (_, response) => response.end('no upgrade'))
  const { origin } = await startGateway(t, {
    ...configFor([url]),
    services: { up: { nodes: [url] }, gone: { nodes: [`http://127.0.0.1:${await closedPort()}`] } },
    routes: ['up', 'gone'].map((id) => ({ id, path: `/${id}`, service: id, auth: 'none' }))
  })
  const socket = new WebSocket(`${toWebSocket(origin)}/up`)
  await opened(socket)
  const upgrade = (path: string, key = 'dGhlIHNhbXBsZSBub25jZQ==') =>
    new RawClient(origin).write(
      `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`
    )
  // 1. Refused by the gateway, by the service, and by nobody being there.
  for (const [path, status, key] of [
    ['/nowhere', 404],
    ['/gone', 502],
    ['/up', 400, 'short']
  ] as const) {
    const client = upgrade(path, key)
    t.match(await client.until(/\r\n\r\n/), new RegExp(`^HTTP/1\\.1 ${status} `), path)
    client.close()
  }
  // 2. Reset in the middle of the handshake, behind it, and after bytes that are no frame.
  for (const path of ['/nowhere', '/gone', '/up']) {
    const client = upgrade(path)
    await once(client.socket, 'connect')
    client.socket.resetAndDestroy()
  }
  const broken = upgrade('/up')
  await broken.until(/^HTTP\/1\.1 101 .*\r\n\r\n/s)
  broken.write('\xff\xff\xff no frame')
  broken.socket.resetAndDestroy()
  // 3. The connection that was open still is, and requests are answered.
  socket.send('still here')
  t.equal(String((await once(socket, 'message'))[0]), 'still here')
  t.equal((await ask('GET', `${origin}/up`)).text, 'no upgrade')
  socket.terminate()
})

t.test('a drain closes live sockets with 1001', async (t) => {
  const { url, sockets } = await wsUpstream(t)
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data as Buffer)))
  const gateway = await startGateway(t, configFor([url]))
  const clients = [1, 2, 3].map(() => new WebSocket(toWebSocket(gateway.origin)))
  await Promise.all(clients.map(opened))
  clients[0]!.send('alive')
  t.equal(String((await once(clients[0]!, 'message'))[0]), 'alive')
  const ends = Promise.all(clients.map(closed))
  await gateway.stop()
  t.same(
    (await ends).map(({ code }) => code),
    [1001, 1001, 1001]
  )
})
