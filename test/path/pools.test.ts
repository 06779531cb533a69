import t from 'tap'
import { ServiceRegistry } from '../../services/services.ts'
import { openPools } from '../../services/upstream/pools.ts'
import { startGateway } from '../support/gateway.ts'
import { serviceWith, until } from '../support/pools.ts'
import {
  configFor,
  exchange,
  httpUpstream,
  RawClient,
  type RawConnection,
  rawUpstream,
  scripted
} from '../support/upstream.ts'

t.test('a node stays the same across configs, whatever else changes about its service', async (t) => {
  const registry = new ServiceRegistry()
  const open = (services: Parameters<typeof serviceWith>[1]) => {
    const lease = registry.lease()
    return {
      lease,
      pool: openPools({ shared: lease.shared, directory: '.' }, serviceWith('a', services)).get('a')!
    }
  }
  const first = open({ nodes: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] })
  const [one, two] = first.pool.nodes
  const same = open({ nodes: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] })
  t.equal(same.pool, first.pool, 'the same settings are the same pool')
  const second = open({ nodes: [{ url: 'http://127.0.0.1:2', weight: 5 }], balance: 'random' })
  t.not(second.pool, first.pool)
  t.equal(second.pool.nodes[0], two, 'the second node is the first now, and the same')
  t.equal(two!.weight, 1, 'the config does not serve yet')
  second.pool.activate()
  t.equal(two!.weight, 5)
  t.notOk(one!.isTaking, 'what is gone takes nothing new, also not from requests of the old config')
  await first.lease.release()
  await same.lease.release()
  const third = open({ nodes: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] })
  t.equal(third.pool.nodes[1], two)
  t.not(third.pool.nodes[0], one, 'what nobody had any more was closed')
  t.equal(third.pool.nodes[0]!.id, one!.id, 'and has its id again')
  await second.lease.release()
  await third.lease.release()
})

t.test('connections to a service outlive a reload that does not touch it', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const { origin, reconfigure } = await startGateway(t, configFor([up.url]))
  t.equal(await (await fetch(`${origin}/`)).text(), 'ok')
  const { outcome } = await reconfigure(configFor([up.url], { route: { path: '/b/*' } }))
  t.equal(outcome, 'applied')
  t.equal(await (await fetch(`${origin}/b`)).text(), 'ok')
  t.equal(new Set(up.requests.map(({ socket }) => socket)).size, 1)
})

t.test('a client that leaves with requests in line leaves nothing behind', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    if (request.url !== '/1') response.end('ok')
  })
  // The second request goes out when the first was given up.
  const service = { timeouts: { response: '300ms' } }
  const gateway = await startGateway(t, configFor([up.url], { service }))
  const one = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
  const client = new RawClient(gateway.origin).write(one('/1') + one('/2') + one('/3'))
  // The others wait for their turn.
  await until(() => up.requests.length === 1, 'the first request arrives')
  client.close()
  const started = performance.now()
  await gateway.stop()
  t.ok(performance.now() - started < 5000, 'the gateway does not wait for them')
  t.equal(up.requests.length, 1, 'and the service never hears of them')
})

t.test('a burst leaves no connections behind, whatever the service thinks of idle ones', async (t) => {
  const waiting: RawConnection[] = []
  const up = await rawUpstream(t, (connection) => {
    waiting.push(connection)
    if (waiting.length < 20) return
    for (const { socket } of waiting.splice(0)) {
      socket.write('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nok')
      socket.on('end', () => socket.end())
    }
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(origin)))
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(up.connections.length, 20)
  await until(() => up.connections.every(({ socket }) => socket.closed), 'all of them are closed')
})

t.test('a wait that is longer than a timer can be is a long one', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    if (request.url === '/health') up.checks += 1
    setTimeout(() => response.end('ok'), 50)
  }).then((server) => Object.assign(server, { checks: 0 }))
  const service = {
    timeouts: { connect: '40d', response: '40d', idle: '40d', total: '40d' },
    // The first check comes at any time within the interval.
    health: { active: { interval: '999999999d', timeout: '40d', path: '/health' } }
  }
  const route = { timeouts: { response: '40d', idle: '40d' } }
  const gateway = await startGateway(t, {
    ...configFor([up.url], { service, route }),
    shutdown: { timeout: '40d' },
    listen: {
      public: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      timeouts: { head: '40d', request: '40d', keepAlive: '40d' }
    }
  })
  const { origin } = gateway
  const warnings: string[] = []
  const onWarning = ({ name, message }: Error) => warnings.push(`${name}: ${message}`)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  t.equal(await (await fetch(`${origin}/a`)).text(), 'ok')
  const last = fetch(`${origin}/b`)
  await until(() => up.requests.length - up.checks === 2, 'the second request arrives')
  const stopped = gateway.stop()
  t.equal(await (await last).text(), 'ok')
  await stopped
  t.equal(up.checks, 0)
  t.same(warnings, [])
})

t.test('answers in line may be as large as they like', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    const body = request.url!.at(-1)!.repeat(1_000_000)
    setTimeout(() => response.end(body), request.url === '/1' ? 50 : 0)
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const one = (path: string, extra = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${extra}\r\n`
  const answer = await exchange(origin, one('/1') + one('/2') + one('/3', 'Connection: close\r\n'))
  const bodies = answer.split(/HTTP\/1\.1 200 OK\r\n[\s\S]*?\r\n\r\n/).slice(1)
  t.same(
    bodies.map((body) => `${body[0]}${body.length}`),
    ['11000000', '21000000', '31000000']
  )
})

t.test('a Trailer header that cannot be kept is not promised', async (t) => {
  const length = 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 0\r\n\r\n'
  const chunked =
    'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n'
  for (const [head, bytes] of [
    ['GET / HTTP/1.1', length],
    ['GET / HTTP/1.0', chunked],
    ['HEAD / HTTP/1.1', length]
  ] as const) {
    const up = await scripted(t, bytes)
    const { origin } = await startGateway(t, configFor([up.url]))
    const answer = await exchange(origin, `${head}\r\nHost: a\r\nConnection: close\r\n\r\n`)
    t.match(answer, /^HTTP\/1\.1 200 /, head)
    t.notMatch(answer, /trailer/i)
  }
})
