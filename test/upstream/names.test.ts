import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { join } from 'node:path'
import t from 'tap'
import { authority, certificate, privateKey } from '../support/certificates.ts'
import { dnsServer } from '../support/dns-server.ts'
import { startGateway } from '../support/gateway.ts'
import { ask, openPool, until } from '../support/pools.ts'
import { configFor, httpUpstream, listen } from '../support/upstream.ts'

/** The same port on another loopback address. */
async function twins(t: Parameters<typeof listen>[0]) {
  const counts = { one: 0, two: 0 }
  const one = createServer((_, response) => {
    counts.one += 1
    response.end('one')
  })
  const port = await listen(t, one)
  const two = createServer((_, response) => {
    counts.two += 1
    response.end('two')
  })
  await new Promise<void>((resolve) => two.listen(port, '127.0.0.2', resolve))
  t.teardown(() => {
    two.close()
    two.closeAllConnections()
  })
  return { port, counts }
}

t.test('each address of a name gets its share, and a change is followed', async (t) => {
  const { port, counts } = await twins(t)
  const names = await dnsServer(t, { 'orders.example': { a: ['127.0.0.1', '127.0.0.2'] } })
  const { pool } = openPool(t, {
    nodes: [`http://orders.example:${port}`],
    dns: { servers: [names.address], minTTL: '100ms', maxTTL: '100ms' }
  })
  await pool.located()
  for (let count = 0; count < 10; count += 1) t.equal((await ask(pool)).status, 200)
  t.same(counts, { one: 5, two: 5 })
  t.equal(pool.nodes.length, 1, 'it is one node to whoever looks after it')
  const nodes = [...pool.nodes[0]!.nodes]
  const asked = names.questions
  names.records['orders.example'] = { a: ['127.0.0.2', '127.0.0.1', '127.0.0.2'] }
  await until(() => names.questions >= asked + 6, 'the name is resolved again')
  t.equal(pool.nodes[0]!.nodes.length, 2)
  const isSame = pool.nodes[0]!.nodes.every((node, index) => node === nodes[index])
  t.ok(isSame, 'another order is no change, nor is an address given twice')
  for (let count = 0; count < 10; count += 1) await ask(pool)
  t.same(counts, { one: 10, two: 10 })
  const [stays] = nodes
  names.records['orders.example'] = { a: ['127.0.0.1'] }
  await until(() => pool.nodes[0]!.nodes.length === 1, 'the second address is forgotten')
  t.equal(pool.nodes[0]!.nodes[0], stays, 'what stays keeps its connections')
  for (let count = 0; count < 10; count += 1) t.equal((await ask(pool)).body, 'one')
})

t.test('what was known last holds while the name server fails or is silent', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const names = await dnsServer(t, { 'orders.example': { a: ['127.0.0.1'] } })
  const { pool } = openPool(t, {
    nodes: [`http://orders.example:${up.port}`],
    dns: { servers: [names.address], minTTL: '100ms', maxTTL: '200ms', timeout: '100ms' }
  })
  await pool.located()
  for (const mode of ['refuse', 'silent'] as const) {
    names.mode = mode
    const before = pool.figures.resolveFailures
    await until(() => pool.figures.resolveFailures > before + 1, `the name server is heard to be ${mode}`)
    t.equal((await ask(pool)).status, 200, mode)
  }
  delete names.records['orders.example']
  names.mode = 'answer'
  const before = pool.figures.resolveFailures
  await until(() => pool.figures.resolveFailures > before, 'the name is heard to be gone')
  t.equal((await ask(pool)).status, 200, 'gone')
})

t.test('an answer holds as long as it says, within bounds', async (t) => {
  const names = await dnsServer(t, { 'a.example': { a: ['127.0.0.1'], ttl: 3600 } })
  const { pool } = openPool(t, {
    nodes: ['http://a.example:1'],
    dns: { servers: [names.address], family: 'ipv4' }
  })
  await pool.located()
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.equal(names.questions, 1)
})

t.test('an address is never looked up', async (t) => {
  const names = await dnsServer(t, {})
  const { pool } = openPool(t, {
    nodes: ['http://127.0.0.1:1', 'http://[::1]:1', 'http://localhost:1'],
    dns: { servers: [names.address] }
  })
  await pool.located()
  t.equal(names.questions, 0)
  t.equal(pool.figures.resolveFailures, 0)
})

t.test('SRV records say at which ports a service is; the best priority counts', async (t) => {
  const hosts: (string | undefined)[] = []
  const start = () =>
    httpUpstream(t, (request, response) => {
      hosts.push(request.headers.host)
      response.end('ok')
    })
  const [one, two, spare] = [await start(), await start(), await start()]
  const names = await dnsServer(t, {
    '_http._tcp.orders.example': {
      srv: [
        { name: 'n1.example', port: one.port, weight: 1 },
        { name: 'n1.example', port: two.port, weight: 3 },
        { name: 'n1.example', port: spare.port, priority: 5 }
      ]
    },
    'n1.example': { a: ['127.0.0.1'] }
  })
  const { pool } = openPool(t, {
    nodes: [{ url: 'http://orders.example', srv: '_http._tcp.orders.example' }],
    dns: { servers: [names.address] }
  })
  await pool.located()
  for (let count = 0; count < 8; count += 1) t.equal((await ask(pool)).status, 200)
  t.same([one.requests.length, two.requests.length, spare.requests.length], [2, 6, 0])
  t.same([...new Set(hosts)], ['orders.example'], 'the Host header is that of the url')
})

t.test('a certificate is for the name, wherever that leads, and checks ask for it as well', async (t) => {
  let checks = 0
  const secure = createSecureServer({ key: privateKey, cert: certificate }, (request, response) => {
    if (request.url === '/healthz') checks += 1
    response.end('secret')
  })
  const port = await listen(t, secure)
  const names = await dnsServer(t, { 'up.example': { a: ['127.0.0.1'] }, 'no.example': { a: ['127.0.0.1'] } })
  const ca = join(t.testdir({ 'ca.pem': authority }), 'ca.pem')
  const active = { interval: '100ms', unhealthyAfter: 1, healthyAfter: 1, path: '/healthz' }
  const service = (type: string) => ({
    nodes: [`https://up.example:${port}`, `https://no.example:${port}`],
    dns: { servers: [names.address] },
    tls: { ca },
    health: { active: { ...active, type } }
  })
  for (const type of ['http', 'tcp']) {
    const { pool } = openPool(t, service(type))
    await pool.located()
    await until(() => pool.nodes[1]!.health === 'failing', 'the wrong name is found out')
    if (type === 'http') await until(() => checks > 1, 'the right one is checked')
    t.equal(pool.nodes[0]!.health, 'well')
    for (let count = 0; count < 4; count += 1) t.equal((await ask(pool)).body, 'secret')
  }
})

t.test('a gateway knows the names before it serves, and a name nobody knows stops nothing', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const names = await dnsServer(t, { 'orders.example': { a: ['127.0.0.1'] } })
  const dns = { servers: [names.address], minTTL: '100ms', maxTTL: '100ms' }
  const config = configFor([`http://orders.example:${up.port}`], { service: { dns } })
  const { origin, reconfigure } = await startGateway(t, config)
  t.equal(await (await fetch(`${origin}/`)).text(), 'ok')
  const unknown = configFor([`http://later.example:${up.port}`], { service: { dns } })
  t.equal((await reconfigure(unknown)).outcome, 'applied')
  t.equal((await fetch(`${origin}/`)).status, 503)
  names.records['later.example'] = { a: ['127.0.0.1'] }
  for (let count = 0; (await fetch(`${origin}/`)).status !== 200; count += 1) {
    if (count > 200) throw new Error('the name was never found')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
})

t.test('a name server that says nothing holds nobody up for longer than its timeout', async (t) => {
  const names = await dnsServer(t, {})
  names.mode = 'silent'
  const { pool } = openPool(t, {
    nodes: ['http://a.example:1'],
    dns: { servers: [names.address], timeout: '100ms' }
  })
  await pool.located()
  t.equal(pool.figures.resolveFailures, 0, 'it is still being asked')
  t.match((await ask(pool)).failure, { reason: 'no_node' })
  names.mode = 'answer'
  names.records['a.example'] = { a: ['127.0.0.1'] }
  await until(() => pool.nodes[0]!.nodes.length === 1, 'it is found after all')
})

t.test('a name server that is no address refuses the config, and the old one serves on', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const { origin, reconfigure } = await startGateway(t, configFor([up.url]))
  const wrong = configFor([up.url], { service: { dns: { servers: ['999.1.1.1'] } } })
  const result = await reconfigure(wrong)
  t.equal(result.outcome, 'refused')
  t.match(result.mistakes, /services\.up\.dns\.servers/)
  t.equal(await (await fetch(`${origin}/`)).text(), 'ok')
})
