import { createServer } from 'node:net'
import t from 'tap'
import { ask, openPool, until } from '../support/pools.ts'
import { httpUpstream, listen } from '../support/upstream.ts'

const active = { interval: '100ms', unhealthyAfter: 2, healthyAfter: 2, path: '/healthz?x=1' }

/** A service with a health endpoint that says what it is told. */
async function checked(t: Parameters<typeof httpUpstream>[0], status = 200) {
  const state = { status, checks: 0, requests: 0, head: '' }
  const up = await httpUpstream(t, (request, response) => {
    if (!request.url!.startsWith('/base/healthz')) {
      state.requests += 1
      response.end('ok')
      return
    }
    state.checks += 1
    state.head = `${request.method} ${request.url} ${request.headers.host}`
    if (state.status > 0) response.writeHead(state.status).end()
  })
  return Object.assign(state, { url: `${up.url}/base`, port: up.port })
}

t.test('a node whose checks fail gets nothing until they are good again', async (t) => {
  const [bad, good] = [await checked(t), await checked(t)]
  const { pool } = openPool(t, { nodes: [bad.url, good.url], health: { active } })
  t.equal(pool.nodes[0]!.health, 'well', 'it begins as healthy')
  await ask(pool)
  await ask(pool)
  t.equal(bad.requests, 1)
  bad.status = 503
  await until(() => pool.nodes[0]!.health === 'failing', 'it is found to be bad')
  t.ok(bad.checks >= 2)
  t.equal(bad.head, `GET /base/healthz?x=1 127.0.0.1:${bad.port}`)
  const before = bad.requests
  for (let count = 0; count < 10; count += 1) await ask(pool)
  t.equal(bad.requests, before)
  bad.status = 204
  await until(() => pool.nodes[0]!.health === 'well', 'it is found to be good')
  for (let count = 0; count < 10; count += 1) await ask(pool)
  t.equal(bad.requests, before + 5)
})

t.test('a node that does not answer a check in time, or with another status, is failing', async (t) => {
  const [silent, odd, good] = [await checked(t, 0), await checked(t, 204), await checked(t, 200)]
  const { pool } = openPool(t, {
    nodes: [silent.url, odd.url, good.url],
    health: { active: { ...active, timeout: '500ms', status: '200', method: 'HEAD' } }
  })
  await until(
    () => pool.nodes[0]!.health === 'failing' && pool.nodes[1]!.health === 'failing',
    'they are found to be bad'
  )
  t.match(odd.head, /^HEAD /)
  await until(() => good.checks >= 3, 'the good one is checked')
  t.equal(pool.nodes[2]!.health, 'well')
})

t.test('a check of the connection alone', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {}))
  const port = await listen(t, server)
  const good = await checked(t)
  const { pool } = openPool(t, {
    nodes: [`http://127.0.0.1:${port}`, good.url],
    health: { active: { ...active, type: 'tcp' } }
  })
  let connections = 0
  server.on('connection', () => {
    connections += 1
  })
  await until(() => connections >= 3, 'it is checked')
  t.equal(pool.nodes[0]!.health, 'well')
  server.close()
  await until(() => pool.nodes[0]!.health === 'failing', 'it is found to be gone')
  t.equal(good.checks, 0)
})

t.test(
  'checks end with the pool, with a node that goes or is down, and where a config has none',
  async (t) => {
    const [one, two] = [await checked(t), await checked(t)]
    const opened = openPool(t, { nodes: [one.url, two.url], health: { active } })
    await until(() => one.checks > 0 && two.checks > 0, 'both are checked')
    const isQuiet = async (up: { checks: number }) => {
      // One may be under way.
      await new Promise((resolve) => setTimeout(resolve, 50))
      const before = up.checks
      await new Promise((resolve) => setTimeout(resolve, 300))
      return up.checks === before
    }
    const next = await opened.reload({ nodes: [two.url], health: { active } })
    t.ok(await isQuiet(one), 'of a node that is gone')
    const { id } = next.nodes[0]!
    next.update(id, { state: 'down' })
    t.ok(await isQuiet(two), 'of a node that is down')
    two.status = 500
    next.update(id, { state: 'drain' })
    await until(() => next.nodes[0]!.health === 'failing', 'a drained one is checked')
    const last = await opened.reload({ nodes: [two.url] })
    t.equal(last.nodes[0]!.health, 'well', 'without checks there is nothing against it')
    t.ok(await isQuiet(two))
  }
)

t.test('a thousand checks do not begin at once', async (t) => {
  const ups = await Promise.all(Array.from({ length: 20 }, () => checked(t)))
  openPool(t, { nodes: ups.map(({ url }) => url), health: { active: { ...active, interval: '10m' } } })
  await new Promise((resolve) => setTimeout(resolve, 200))
  const early = ups.filter(({ checks }) => checks > 0).length
  t.ok(early <= 2, `${early} of 20 within the first instant of ten minutes`)
})
