import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { ask, openPool } from '../support/pools.ts'
import { closedPort, configFor, httpUpstream, rawUpstream, scripted } from '../support/upstream.ts'

const busy = (t: Parameters<typeof httpUpstream>[0], status = 503) =>
  httpUpstream(t, (request, response) => {
    request.resume()
    request.on('end', () => response.writeHead(status, { 'retry-after': '1' }).end('busy'))
  })

t.test('an answer is never asked for again because of its status, unless that is listed', async (t) => {
  const up = await busy(t)
  const { pool } = openPool(t, { nodes: [up.url], retry: { attempts: 5, statuses: [502, 504] } })
  for (let count = 0; count < 20; count += 1) t.match(await ask(pool), { status: 503, body: 'busy' })
  t.equal(up.requests.length, 20)
})

t.test('a service that always says 503 gets a fifth more requests at most, and a POST once', async (t) => {
  const ups = [await busy(t), await busy(t)]
  const service = { retry: { attempts: 5, statuses: [503] } }
  const { origin } = await startGateway(
    t,
    configFor(
      ups.map(({ url }) => url),
      { service }
    )
  )
  const hits = () => ups[0]!.requests.length + ups[1]!.requests.length
  for (let count = 0; count < 100; count += 1) {
    const response = await fetch(`${origin}/`)
    t.equal(response.status, 503)
    t.equal(await response.text(), 'busy', 'the last answer is handed on as it is')
  }
  t.ok(hits() > 110 && hits() <= 120, `${hits()} for 100`)
  const before = hits()
  for (let count = 0; count < 50; count += 1)
    await (await fetch(`${origin}/`, { method: 'POST', body: 'x' })).text()
  t.equal(hits(), before + 50)
})

t.test('a client sees only the good answer of another node', async (t) => {
  const bad = await busy(t, 502)
  const good = await httpUpstream(t, (request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => response.end(`${request.method} ${body.length}`))
  })
  const retry = { statuses: [502], budget: 100 }
  const { origin } = await startGateway(t, configFor([bad.url, good.url], { service: { retry } }))
  for (let count = 0; count < 10; count += 1) {
    const response = await fetch(`${origin}/`, { method: 'PUT', body: 'x'.repeat(20_000) })
    t.equal(response.status, 200)
    t.equal(await response.text(), 'PUT 20000')
  }
  t.equal(bad.requests.length, 5)
  t.equal(good.requests.length, 10)
  // What is not kept cannot be sent again.
  const seen = new Set<number>()
  for (let count = 0; count < 2; count += 1) {
    const response = await fetch(`${origin}/`, { method: 'PUT', body: 'x'.repeat(500_000) })
    seen.add(response.status)
    await response.text()
  }
  t.same([...seen].sort(), [200, 502])
})

t.test('answers that were not wanted leave no connection and no request behind', async (t) => {
  const up = await scripted(t, 'HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nbu')
  const { pool } = openPool(t, {
    nodes: [up.url],
    timeouts: { idle: '100ms' },
    retry: { attempts: 2, statuses: [503], budget: 100 }
  })
  for (let count = 0; count < 10; count += 1) {
    t.match(await ask(pool), { status: 503, failure: { reason: 'idle_timeout' } })
  }
  const node = pool.nodes[0]!
  t.equal(node.inFlight, 0)
  t.equal(node.nodes[0]!.client.open, 0)
  t.ok(up.connections.length > 10 && up.connections.length <= 20, `${up.connections.length}`)
})

t.test('no request is sent more often than it may be', async (t) => {
  const up = await busy(t)
  const { pool } = openPool(t, {
    nodes: [up.url],
    retry: { attempts: 2, statuses: [503], budget: 100 }
  })
  for (let count = 0; count < 40; count += 1) await ask(pool, { method: 'POST' })
  const before = up.requests.length
  t.equal(before, 40)
  for (let count = 0; count < 10; count += 1) await ask(pool)
  t.equal(up.requests.length, before + 30)
  t.equal(pool.figures.retries, 20)
})

t.test('when every connection breaks, retries stay within the budget', async (t) => {
  const up = await rawUpstream(t, ({ socket }) => socket.destroy())
  const { pool } = openPool(t, { nodes: [up.url], retry: { attempts: 5, minimum: 0 } })
  for (let count = 0; count < 100; count += 1) t.match((await ask(pool)).failure, { kind: 'broken' })
  t.ok(up.connections.length <= 120, `${up.connections.length} for 100`)
  t.ok(pool.figures.retriesRefused > 0)
  const before = up.connections.length
  for (let count = 0; count < 10; count += 1) await ask(pool, { method: 'POST' })
  t.equal(up.connections.length, before + 10)
})

t.test('a few retries are there also when requests are few', async (t) => {
  let isFirst = true
  const up = await rawUpstream(t, ({ socket }) => {
    if (isFirst) socket.destroy()
    else socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    isFirst = false
  })
  const { pool } = openPool(t, { nodes: [up.url] })
  t.equal((await ask(pool)).body, 'ok')
})

t.test('what was never sent goes elsewhere without a budget, whatever the method', async (t) => {
  const good = await httpUpstream(t, (_, response) => response.end('ok'))
  const { pool } = openPool(t, {
    nodes: [`http://127.0.0.1:${await closedPort()}`, good.url],
    retry: { budget: 0, minimum: 0 },
    health: { eject: '0s' }
  })
  for (let count = 0; count < 10; count += 1) t.equal((await ask(pool, { method: 'POST' })).status, 200)
  t.equal(good.requests.length, 10)
})
