import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { ask, openPool, until } from '../support/pools.ts'
import { configFor, httpUpstream } from '../support/upstream.ts'

/** A service that answers with the status it is told, or waits. */
async function switchable(t: Test) {
  const waiting: (() => void)[] = []
  const up = await httpUpstream(t, (_, response) => {
    if (state.status === 0) waiting.push(() => response.end())
    else response.writeHead(state.status).end()
  })
  const state = {
    ...up,
    status: 500,
    finish: () => {
      for (const answer of waiting.splice(0)) answer()
    }
  }
  return state
}

const health = { serverErrors: true, eject: '0s' }

t.test('a breaker that is open lets nothing through, and the refusal says so', async (t) => {
  const up = await switchable(t)
  const service = { health, breaker: { failures: 5, open: '1h' } }
  const { origin, log } = await startGateway(t, configFor([up.url], { service }))
  for (let count = 0; count < 5; count += 1) t.equal((await fetch(`${origin}/`)).status, 500)
  for (let count = 0; count < 5; count += 1) {
    const refused = await fetch(`${origin}/`)
    t.equal(refused.status, 503)
    t.ok(refused.headers.get('retry-after'))
    t.match(await refused.json(), { code: 'UPSTREAM_UNAVAILABLE' })
  }
  t.equal(up.requests.length, 5)
  t.match(
    log().filter(({ msg, status }) => msg === 'request' && status === 503),
    [{ verdict: 'UPSTREAM_UNAVAILABLE', reason: 'breaker_open' }]
  )
})

t.test('a share opens it only once there were enough requests', async (t) => {
  const up = await switchable(t)
  const { pool } = openPool(t, { nodes: [up.url], health, breaker: { share: 50, minimum: 10, open: '1h' } })
  const statuses = [500, 200, 500, 200, 500, 200, 500, 200, 200]
  for (const status of statuses) {
    up.status = status
    await ask(pool)
  }
  t.equal(pool.nodes[0]!.health, 'well')
  up.status = 500
  await ask(pool)
  t.equal(pool.nodes[0]!.health, 'open', '5 of 10')
  t.equal(pool.figures.openings, 1)
})

t.test(
  'nodes that were left alone before, and are asked since all are, get their breakers opened',
  async (t) => {
    const nodes = [await switchable(t), await switchable(t)]
    const { pool } = openPool(t, {
      nodes: nodes.map(({ url }) => url),
      health: { serverErrors: true },
      breaker: { share: 50, minimum: 10, window: '1h', open: '1h' }
    })
    for (let count = 0; count < 60; count += 1) await ask(pool)
    t.same(
      pool.nodes.map(({ health }) => health),
      ['open', 'open']
    )
    t.equal((await ask(pool)).failure?.reason, 'breaker_open')
    t.match(pool.figures, { ejections: 2, openings: 2 })
    for (const { requests } of nodes) t.equal(requests.length, 10)
  }
)

t.test('an ejection that ends does not start the count of the breaker anew', async (t) => {
  const up = await switchable(t)
  const { pool } = openPool(t, {
    nodes: [up.url],
    health: { serverErrors: true },
    breaker: { share: 50, minimum: 20, window: '1h', open: '1h' }
  })
  for (let count = 0; count < 30; count += 1) {
    up.status = count % 4 === 3 ? 200 : 500
    await ask(pool)
  }
  t.equal(pool.nodes[0]!.health, 'open', 'three of four failed')
})

t.test('what was sent before the breaker opened does not close it', async (t) => {
  const up = await switchable(t)
  const { pool } = openPool(t, {
    nodes: [up.url],
    health: { serverErrors: true },
    breaker: { failures: 6, window: '1h', open: '1h' }
  })
  for (let count = 0; count < 3; count += 1) await ask(pool)
  t.equal(pool.nodes[0]!.health, 'ejected')
  up.status = 0
  const early = ask(pool)
  await until(() => up.requests.length === 4, 'one is under way')
  up.status = 500
  for (let count = 0; count < 3; count += 1) await ask(pool)
  t.equal(pool.nodes[0]!.health, 'open')
  up.finish()
  t.equal((await early).status, 200)
  t.equal(pool.nodes[0]!.health, 'open')
})

t.test('failures that are older than the window do not count', async (t) => {
  const up = await switchable(t)
  const { pool } = openPool(t, { nodes: [up.url], health, breaker: { failures: 3, window: '100ms' } })
  for (let count = 0; count < 6; count += 1) {
    await ask(pool)
    if (count % 2 === 1) await new Promise((resolve) => setTimeout(resolve, 150))
  }
  t.equal(pool.figures.openings, 0)
})

t.test(
  'half open it lets so many through, closes when all are good, and opens for longer when not',
  async (t) => {
    const up = await switchable(t)
    const { pool } = openPool(t, {
      nodes: [up.url],
      health,
      breaker: { failures: 1, open: '600ms', trials: 2 }
    })
    const isRefused = async () => (await ask(pool)).failure?.reason === 'breaker_open'
    await ask(pool)
    t.ok(await isRefused())
    // 1. A trial that fails.
    for (let count = 0; await isRefused(); count += 1) {
      if (count > 5000) throw new Error('no trial was made')
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    t.equal(up.requests.length, 2)
    t.ok(await isRefused())
    // 2. Two trials at once, and no third.
    up.status = 0
    const pending: Promise<{ status: number }>[] = []
    await until(() => {
      if (up.requests.length < 4) pending.push(ask(pool))
      return up.requests.length >= 4
    }, 'two trials are under way')
    t.ok(await isRefused())
    t.equal(up.requests.length, 4)
    t.equal(pool.nodes[0]!.health, 'open')
    // 3. Both are good.
    up.finish()
    await until(() => pool.nodes[0]!.health === 'well', 'it closes')
    up.status = 200
    for (let count = 0; count < 5; count += 1) t.equal((await ask(pool)).status, 200)
  }
)

t.test('a node whose breaker is open is not asked in a panic either; the others are', async (t) => {
  const [bad, good] = [await switchable(t), await switchable(t)]
  good.status = 200
  const { pool } = openPool(t, {
    nodes: [bad.url, good.url],
    health: { ...health, maxEjected: 0 },
    breaker: { failures: 2, open: '1h' }
  })
  for (let count = 0; count < 10; count += 1) await ask(pool)
  t.equal(bad.requests.length, 2)
  t.equal(good.requests.length, 8)
})

t.test('a standing outlives a reload', async (t) => {
  const up = await switchable(t)
  const opened = openPool(t, { nodes: [up.url], health, breaker: { failures: 1, open: '1h' } })
  await ask(opened.pool)
  const next = await opened.reload({ nodes: [up.url], health, breaker: { failures: 9, open: '1h' } })
  t.equal(next.nodes[0]!.health, 'open')
  t.equal((await ask(next)).failure?.reason, 'breaker_open')
  t.equal(next.figures.openings, 1)
})
