import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { eventually, scaled, startOwnProcess } from '../support/own-process.ts'
import { configFor, httpUpstream } from '../support/upstream.ts'

/** Clients that leave in each wave, at every point of an exchange. TOLL_LOAD=5 makes it 10,000. */
const leaving = scaled(2000)
const waves = 6
/** How many of them are there at the same time. */
const together = 250
/** Requests that have to be answered after each wave, more than the service takes connections. */
const next = 200
const maxConnections = 64

const upgrade =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
const post = (path: string, framing: string, body = '') =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n${body}`
const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`

/** What a client has said when it leaves, and whether it read what came before. */
const points: Record<string, { readonly says: string; readonly reads: boolean }> = {
  'in the middle of the head': { says: 'GET /ok HTTP/1.1\r\nHo', reads: true },
  'right after the head': { says: get('/ok'), reads: true },
  'before the service answers': { says: get('/silent'), reads: true },
  'within the answer': { says: get('/big'), reads: true },
  'within an answer it does not read': { says: get('/big'), reads: false },
  'within an answer that drips': { says: get('/drip'), reads: true },
  'within an upload': { says: post('/upload', 'Content-Length: 5000000', 'x'.repeat(20_000)), reads: true },
  'within an upload nobody reads': {
    says: post('/silent', 'Content-Length: 5000000', 'x'.repeat(300_000)),
    reads: true
  },
  'within a chunk': { says: post('/upload', 'Transfer-Encoding: chunked', 'ffff\r\nxxx'), reads: true },
  'before its body is asked for': {
    says: post('/upload', 'Content-Length: 5\r\nExpect: 100-continue'),
    reads: true
  },
  'within a pipeline': { says: get('/ok') + get('/silent') + get('/ok'), reads: true },
  'within a handshake': { says: get('/silent', upgrade), reads: true }
}

t.test(
  'after each wave of clients that left, every request is answered and no connection is left over',
  async (t) => {
    const open = new Set<IncomingMessage>()
    const up = await httpUpstream(t, (request, response) => {
      open.add(request)
      response.once('close', () => open.delete(request))
      // Who never reads does not see that the other side has gone.
      setTimeout(() => request.resume(), 200)
      if (request.url === '/ok') response.end('ok')
      else if (request.url === '/upload') request.resume().on('end', () => response.end('ok'))
      else if (request.url === '/big') {
        response.writeHead(200, { 'content-length': 50_000_000 })
        const piece = Buffer.alloc(100_000)
        const more = () => {
          while (!response.destroyed && response.write(piece));
        }
        response.on('drain', more)
        more()
      } else if (request.url === '/drip') {
        const timer = setInterval(() => response.write('drop'), 5)
        response.once('close', () => clearInterval(timer))
      }
    })
    up.server.on('upgrade', (_request, socket) => {
      socket.on('error', () => {})
      socket.resume().on('end', () => socket.destroy())
    })
    const service = { connections: { max: maxConnections }, timeouts: { connect: '20s', response: '60s' } }
    const gateway = await startOwnProcess(t, configFor([up.url], { service }))
    const { hostname, port } = new URL(gateway.origin)
    const kinds = Object.values(points)

    const leave = async (index: number): Promise<void> => {
      const { says, reads } = kinds[index % kinds.length]!
      const client: Socket = connect(Number(port), hostname)
      client.on('error', () => {})
      if (reads) client.resume()
      client.write(says)
      await new Promise((resolve) => setTimeout(resolve, (index * 7) % 40))
      if (index % 3 === 0) client.resetAndDestroy()
      else client.destroy()
    }
    const openToService = () =>
      new Promise<number>((resolve) => up.server.getConnections((_, count) => resolve(count)))

    for (let wave = 1; wave <= waves; wave += 1) {
      for (let from = 0; from < leaving; from += together) {
        const batch = Math.min(together, leaving - from)
        await Promise.all(Array.from({ length: batch }, (_, index) => leave(from + index)))
      }
      const answers = await Promise.all(
        Array.from({ length: next }, async () => {
          const response = await fetch(`${gateway.origin}/ok`, { headers: { connection: 'close' } })
          return `${response.status} ${await response.text()}`
        })
      )
      t.equal(
        answers.filter((answer) => answer === '200 ok').length,
        next,
        `all are answered after wave ${wave}`
      )
      await eventually('the service works for nobody who left', () => open.size === 0)
      // The pool may keep what it may have; the one is the question itself, and the listeners are no connections.
      await eventually(
        'the gateway has no connection but those to the service',
        async () => (await gateway.connections()) <= (await openToService()) + 4
      )
      t.ok((await openToService()) <= maxConnections, `a pool of ${maxConnections} after wave ${wave}`)
    }
    t.notMatch(gateway.log(), /"level":"?(50|60|error|fatal)|unhandled|Warning/i, 'nothing went wrong inside')
  }
)
