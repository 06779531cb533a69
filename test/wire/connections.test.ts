import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { WebSocketServer } from 'ws'
import { startGateway } from '../support/gateway.ts'
import { configFor, httpUpstream, RawClient } from '../support/upstream.ts'

// Most of it is waiting.
t.setTimeout(120_000)

const local = { public: '127.0.0.1:0', admin: '127.0.0.1:0' }
const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

const figure = async (admin: string, line: RegExp): Promise<number> =>
  Number(line.exec(await (await fetch(`${admin}/metrics`)).text())?.[1] ?? Number.NaN)

async function eventually(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 8000
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`it did not come to this: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A connection from one of this machine's many loopback addresses. */
function connectFrom(localAddress: string, origin: string): Socket {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(origin).port), localAddress })
  socket.on('error', () => {})
  return socket.resume()
}

function destroyAll(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.destroy()
}

/** Whether a connection is served; it is left open. */
async function isServed(socket: Socket): Promise<boolean> {
  socket.write(get)
  return Promise.race([once(socket, 'data').then(() => true), once(socket, 'close').then(() => false)])
}

t.test(
  'an address has so many connections and no more, and a place that is given back is free',
  async (t) => {
    const up = await httpUpstream(t, (_, response) => response.end('ok'))
    const { origin, admin, log, reconfigure } = await startGateway(t, {
      ...configFor([up.url]),
      listen: { ...local, connectionsPerAddress: 3 }
    })
    const open = Array.from({ length: 3 }, () => connectFrom('127.0.0.2', origin))
    t.teardown(() => destroyAll(open))
    for (const socket of open) t.equal(await isServed(socket), true)
    t.equal(await isServed(connectFrom('127.0.0.2', origin)), false, 'one more is closed')
    const other = connectFrom('127.0.0.3', origin)
    t.equal(await isServed(other), true, 'another address is served')
    other.destroy()
    t.equal(up.requests.length, 4)
    open.pop()!.destroy()
    await eventually('there is a place again', async () => {
      const socket = connectFrom('127.0.0.2', origin)
      const served = await isServed(socket)
      open.push(socket)
      return served
    })
    await eventually('it is told once', () => log().some(({ msg }) => msg === 'connections are refused'))
    t.equal(log().filter(({ msg }) => msg === 'connections are refused').length, 1)
    t.ok(
      (await figure(
        admin,
        /connections_refused_total\{listener="public",reason="too_many_of_address"\} (\d+)/
      )) >= 1
    )

    await reconfigure({
      ...configFor([up.url]),
      listen: { ...local, connectionsPerAddress: 3 },
      guard: { trustedProxies: ['127.0.0.2'] }
    })
    const carried = Array.from({ length: 5 }, () => connectFrom('127.0.0.2', origin))
    t.teardown(() => destroyAll(carried))
    for (const socket of carried)
      t.equal(await isServed(socket), true, 'a trusted proxy carries many clients')
  }
)

t.test('a listener has so many connections and no more', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const { origin, admin, reconfigure } = await startGateway(t, {
    ...configFor([up.url]),
    listen: { ...local, maxConnections: 4 }
  })
  const open = Array.from({ length: 4 }, (_, index) => connectFrom(`127.0.0.${index + 2}`, origin))
  t.teardown(() => destroyAll(open))
  for (const socket of open) t.equal(await isServed(socket), true)
  t.equal(await isServed(connectFrom('127.0.0.9', origin)), false)
  t.equal(
    await figure(admin, /connections_refused_total\{listener="public",reason="too_many"\} (\d+)/),
    1,
    'and the admin listener is there to say so'
  )
  await eventually(
    'they are counted',
    async () => (await figure(admin, /client_connections\{listener="public"\} (\d+)/)) === 4
  )
  await reconfigure({ ...configFor([up.url]), listen: { ...local, maxConnections: 5 } })
  const fifth = connectFrom('127.0.0.9', origin)
  t.equal(await isServed(fifth), true)
  fifth.destroy()
})

t.test(
  'an upgrade that nobody takes does not count twice, and a WebSocket counts until it ends',
  async (t) => {
    const up = await httpUpstream(t, (_, response) => response.end('ok'))
    const sockets = new WebSocketServer({ server: up.server })
    t.teardown(() => sockets.close())
    const { origin, admin } = await startGateway(t, {
      ...configFor([up.url]),
      listen: { ...local, connectionsPerAddress: 2 }
    })
    const count = () => figure(admin, /client_connections\{listener="public"\} (\d+)/)
    const plain = new RawClient(origin).write(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'
    )
    await plain.until(/ok/)
    const tunnel = new RawClient(origin).write(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
    )
    await tunnel.until(/101 Switching/)
    await eventually('both are counted', async () => (await count()) === 2)
    t.equal(await isServed(connectFrom('127.0.0.1', origin)), false)
    plain.close()
    tunnel.close()
    await eventually('none is left', async () => (await count()) === 0)
  }
)

for (const transport of ['direct', 'http-proxy']) {
  t.test(
    `who takes nothing is cut off and the service released, who reads slowly is not, over ${transport}`,
    async (t) => {
      // More than the kernel holds and the steady one takes meanwhile.
      const size = 40 * 1024 * 1024
      const up = await httpUpstream(t, (_, response) => response.end(Buffer.alloc(size)))
      const descriptors = () => readdirSync('/proc/self/fd').length
      const { origin, admin, log } = await startGateway(t, {
        ...configFor([up.url], { service: { transport } }),
        listen: { ...local, timeouts: { send: '3s' } }
      })
      await (await fetch(`${admin}/metrics`)).text()
      const before = descriptors()
      const still = new RawClient(origin)
      still.socket.pause()
      still.write(get)
      const steady = new RawClient(origin)
      let received = 0
      let wasCut = false
      steady.socket.removeAllListeners('data').pause()
      steady.socket.once('close', () => {
        wasCut = received < size
      })
      steady.write(get)
      // Longer than the bound several times over.
      const until = performance.now() + 9000
      while (performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 40))
        received += (steady.socket.read() as Buffer | null)?.length ?? 0
      }
      t.equal(wasCut, false)
      t.equal(log().filter(({ msg, reason }) => msg === 'request' && reason === 'send_timeout').length, 1)
      t.equal(await figure(admin, /slow_readers_cut_total\{listener="public"\} (\d+)/), 1)
      while (received < size) {
        received += (steady.socket.read() as Buffer | null)?.length ?? 0
        await new Promise((resolve) => setTimeout(resolve, 1))
        if (wasCut) break
      }
      t.ok(received >= size, 'it gets all of it')
      still.close()
      steady.close()
      await eventually('every descriptor is back', () => descriptors() <= before + 4)
    }
  )

  t.test(`a quiet event stream is not cut, over ${transport}`, async (t) => {
    const events: (() => void)[] = []
    const up = await httpUpstream(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.flushHeaders()
      events.push(() => response.write('data: late\n\n'))
    })
    const { origin } = await startGateway(t, {
      ...configFor([up.url], { service: { transport } }),
      listen: { ...local, timeouts: { send: '500ms', body: '500ms', head: '500ms', keepAlive: '500ms' } }
    })
    const client = new RawClient(origin).write(get)
    await client.until(/event-stream/)
    await new Promise((resolve) => setTimeout(resolve, 3500))
    events[0]!()
    t.match(await client.until(/data: late/), /^HTTP\/1\.1 200 /)
    client.close()
  })
}
