import { createServer } from 'node:http'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import { startGateway } from '../support/gateway.ts'
import { ask, openPool, until } from '../support/pools.ts'
import { closedPort, configFor, httpUpstream, listen, rawUpstream } from '../support/upstream.ts'

/** A service that can be told to misbehave. */
async function moody(t: Test) {
  const up = await httpUpstream(t, (request, response) => {
    if (mood.now === 'reset') request.socket.destroy()
    else if (mood.now === 'error') response.writeHead(500).end()
    else if (mood.now !== 'silent') response.end('ok')
  })
  const mood = { ...up, now: 'good' as 'good' | 'reset' | 'error' | 'silent' }
  return mood
}

const nodeOf = (pool: ReturnType<typeof openPool>['pool'], index: number): UpstreamNode =>
  pool.nodes[index]!.nodes[0]!

t.test('three failures in a row leave a node alone, a success between them does not', async (t) => {
  const up = await moody(t)
  const { pool } = openPool(t, { nodes: [up.url], retry: { attempts: 0 }, health: { eject: '1h' } })
  for (const mood of ['reset', 'reset', 'good', 'reset', 'reset'] as const) {
    up.now = mood
    await ask(pool)
  }
  t.equal(pool.nodes[0]!.health, 'well')
  await ask(pool)
  t.equal(pool.nodes[0]!.health, 'ejected')
  t.equal(pool.figures.ejections, 1)
  up.now = 'good'
  t.equal((await ask(pool)).status, 200, 'and yet it is asked, because there is no other')
})

t.test(
  'refused connections and timeouts count; what is left alone gets nothing while others are well',
  async (t) => {
    const good = await moody(t)
    const silent = await moody(t)
    silent.now = 'silent'
    const { pool } = openPool(t, {
      nodes: [`http://127.0.0.1:${await closedPort()}`, silent.url, good.url],
      timeouts: { response: '50ms' },
      health: { eject: '1h' }
    })
    for (let count = 0; count < 15; count += 1) await ask(pool)
    t.same(
      pool.nodes.map(({ health }) => health),
      ['ejected', 'ejected', 'well']
    )
    t.equal(silent.requests.length, 3)
    const before = good.requests.length
    for (let count = 0; count < 10; count += 1) t.equal((await ask(pool)).status, 200)
    t.equal(good.requests.length, before + 10)
  }
)

t.test('statuses count only where they are to', async (t) => {
  for (const serverErrors of [false, true]) {
    const up = await moody(t)
    up.now = 'error'
    const { pool } = openPool(t, { nodes: [up.url], health: { serverErrors, eject: '1h' } })
    for (let count = 0; count < 4; count += 1) t.equal((await ask(pool)).status, 500)
    t.equal(pool.nodes[0]!.health, serverErrors ? 'ejected' : 'well')
  }
})

t.test('a node comes back after one request has tried it, and only one', async (t) => {
  const bad = await moody(t)
  const good = await moody(t)
  const { pool } = openPool(t, {
    nodes: [bad.url, good.url],
    timeouts: { response: '30s' },
    health: { eject: '300ms', failures: 1 }
  })
  bad.now = 'reset'
  while (pool.nodes[0]!.health === 'well') await ask(pool)
  bad.now = 'silent'
  const before = bad.requests.length
  const pending: Promise<unknown>[] = []
  const holds: { cancel(): void }[] = []
  await until(() => {
    pending.push(ask(pool, {}, (sent) => holds.push(sent)))
    return bad.requests.length > before
  }, 'a request tries it')
  // Its trial is under way: everything else goes to the other one.
  for (let count = 0; count < 20; count += 1) t.equal((await ask(pool)).status, 200)
  t.equal(bad.requests.length, before + 1)
  // The client of the trial leaves: that says nothing, and another one may try.
  for (const hold of holds) hold.cancel()
  t.ok(nodeOf(pool, 0).standing.isOut)
  bad.now = 'good'
  for (let count = 0; nodeOf(pool, 0).standing.isOut; count += 1) {
    if (count > 1000) throw new Error('it never came back')
    t.equal((await ask(pool)).status, 200)
  }
  const after = bad.requests.length
  for (let count = 0; count < 10; count += 1) await ask(pool)
  t.equal(bad.requests.length, after + 5, 'it has its share again')
})

t.test('each trial that fails makes the time longer, up to a bound', async (t) => {
  const up = await moody(t)
  up.now = 'reset'
  const good = await moody(t)
  const { pool } = openPool(t, {
    nodes: [up.url, good.url],
    health: { eject: '100ms', maxEject: '400ms', failures: 1 }
  })
  const tries: number[] = []
  const started = performance.now()
  let seen = 0
  while (tries.length < 6 && performance.now() - started < 20_000) {
    await ask(pool)
    if (up.requests.length > seen) tries.push(performance.now())
    seen = up.requests.length
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const gaps = tries.slice(1).map((at, index) => at - tries[index]!)
  for (const [index, least] of [100, 200, 400, 400, 400].entries()) {
    t.ok(gaps[index]! >= least - 20, `${gaps[index]} ms`)
  }
  t.ok(gaps[4]! < 1500, `${gaps[4]} ms: it does not grow for ever`)
})

t.test('when more than the share are out, all are asked', async (t) => {
  const ups = [await moody(t), await moody(t), await moody(t), await moody(t)]
  const { pool } = openPool(t, {
    nodes: ups.map(({ url }) => url),
    retry: { attempts: 0 },
    health: { eject: '1h', failures: 1, maxEjected: 50 }
  })
  ups[0]!.now = 'reset'
  ups[1]!.now = 'reset'
  for (let count = 0; count < 8; count += 1) await ask(pool)
  t.same(
    pool.nodes.map(({ health }) => health),
    ['ejected', 'ejected', 'well', 'well']
  )
  const before = ups.map(({ requests }) => requests.length)
  for (let count = 0; count < 8; count += 1) t.equal((await ask(pool)).status, 200)
  t.same(
    ups.map(({ requests }, index) => requests.length - before[index]!),
    [0, 0, 4, 4],
    'half of them may be out'
  )
  ups[2]!.now = 'reset'
  while (pool.figures.panics === 0) await ask(pool)
  const then = ups.map(({ requests }) => requests.length)
  for (let count = 0; count < 8; count += 1) await ask(pool)
  for (const [index, { requests }] of ups.entries()) t.ok(requests.length > then[index]!, `${index} is asked`)
  for (const up of ups) up.now = 'good'
  for (let count = 0; count < 8; count += 1) t.equal((await ask(pool)).status, 200)
  const well = pool.nodes.filter(({ health }) => health === 'well').length
  t.ok(well >= 2, 'whoever answers well in such a time is back, until there are enough')
})

t.test('clients that leave, before an answer or within it, say nothing about a node', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    if (request.url === '/part') response.write('part')
    if (request.url === '/good') response.end('ok')
  })
  const { pool } = openPool(t, { nodes: [up.url], health: { failures: 1, eject: '1h' } })
  for (const path of ['/none', '/part']) {
    for (let count = 0; count < 3; count += 1) {
      const before = up.requests.length
      let hold = { cancel: () => {} }
      void ask(pool, { path }, (sent) => {
        hold = sent
      })
      await until(() => up.requests.length > before, 'it arrives')
      hold.cancel()
    }
  }
  t.equal(pool.nodes[0]!.health, 'well')
  t.equal(pool.nodes[0]!.inFlight, 0)
  t.equal(nodeOf(pool, 0).standing.isOut, false)
})

t.test("what is wrong with a client's body says nothing about a node", async (t) => {
  // A service that closes the connection on a body that it does not like, before the body is there.
  const up = await rawUpstream(t, (connection) => {
    if (connection.received.startsWith('POST')) connection.socket.destroy()
    else if (connection.received.endsWith('\r\n\r\n')) {
      connection.received = ''
      connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    }
  })
  const service = { health: { failures: 1, eject: '1h' } }
  const token = 'x'.repeat(43)
  const { origin, admin, log } = await startGateway(t, {
    ...configFor([up.url], { service }),
    admin: { token }
  })
  const health = async () => {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await fetch(`${admin}/admin/services/up/nodes`, { headers })
    return ((await answer.json()) as { nodes: { health: string }[] }).nodes[0]!.health
  }
  const { hostname, port } = new URL(origin)
  const isOver = () => log().filter(({ msg, method }) => msg === 'request' && method === 'POST').length
  for (const [announced, sent, expected] of [
    [500_000, 100_000, 'well'],
    [1, 1, 'ejected']
  ] as const) {
    const before = isOver()
    const client = connect({ host: hostname, port: Number(port) })
    client.on('error', () => {})
    client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${announced}\r\n\r\n${'x'.repeat(sent)}`)
    await until(() => isOver() > before || client.destroyed, 'the gateway gave up')
    client.destroy()
    await until(() => isOver() > before, 'it is over')
    t.equal(await health(), expected, `${sent} of ${announced} bytes`)
  }
})

t.test('a connection that a node closed while nobody used it says nothing about the node', async (t) => {
  const up = await rawUpstream(t, (connection) => {
    if (!connection.received.endsWith('\r\n\r\n')) return
    connection.received = ''
    if (connection.socket.bytesWritten > 0) connection.socket.destroy()
    else connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  })
  const { pool } = openPool(t, { nodes: [up.url], health: { failures: 1, eject: '1h' } })
  for (let count = 0; count < 6; count += 1) await ask(pool, { method: 'POST' })
  t.ok(up.connections.length >= 3)
  t.equal(pool.figures.ejections, 0)
})

t.test('a node that comes back at its port is found by itself', async (t) => {
  const port = await closedPort()
  const good = await moody(t)
  const { pool } = openPool(t, {
    nodes: [`http://127.0.0.1:${port}`, good.url],
    health: { eject: '100ms', failures: 1 }
  })
  for (let count = 0; count < 6; count += 1) t.equal((await ask(pool)).status, 200)
  t.equal(pool.nodes[0]!.health, 'ejected')
  await listen(
    t,
    createServer((_, response) => response.end('back')),
    port
  )
  for (let count = 0; (await ask(pool)).body !== 'back'; count += 1) {
    if (count > 2000) throw new Error('it was never found')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  t.equal(pool.nodes[0]!.health, 'well')
})
