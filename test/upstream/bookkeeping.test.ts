import t, { type Test } from 'tap'
import { type Asked, ask, openPool, until } from '../support/pools.ts'
import { httpUpstream } from '../support/upstream.ts'

/** The same numbers in every run: a failure can be looked at again. */
function numbers(seed: number) {
  let state = seed
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 4_294_967_296) * below)
  }
}

/** A service that does anything at all with a request. */
const wild = (t: Test, draw: (below: number) => number) =>
  httpUpstream(t, (request, response) => {
    switch (draw(10)) {
      case 0:
        request.socket.destroy()
        break
      case 1:
        request.socket.resetAndDestroy()
        break
      case 2:
        response.writeHead(503).end('busy')
        break
      case 3:
        response.writeHead(503, { 'content-length': '10' }).write('part')
        break
      case 4:
        response.write('part')
        setTimeout(() => request.socket.destroy(), 5)
        break
      case 5:
        break
      case 6:
        setTimeout(() => response.end('late'), draw(30))
        break
      default:
        response.end('ok')
    }
  })

t.test('whatever nodes, clients and operators do, what is under way is counted right', async (t) => {
  for (const balance of ['round-robin', 'least-connections', 'p2c', { by: 'path', maxLoad: 125 }]) {
    const draw = numbers(20)
    const ups = [await wild(t, draw), await wild(t, draw), await wild(t, draw)]
    const urls = ups.map(({ url }) => url)
    const service = {
      balance,
      connections: { max: 3, queue: 2 },
      timeouts: { connect: '100ms', response: '60ms', idle: '60ms' },
      retry: { attempts: 3, statuses: [503], budget: 50 },
      health: { eject: '20ms', maxEject: '40ms', failures: 2, serverErrors: true },
      breaker: { failures: 6, window: '100ms', open: '20ms', trials: 2 }
    }
    const opened = openPool(t, { ...service, nodes: urls })
    let { pool } = opened
    const members = new Set(pool.nodes)
    const asked: Promise<Asked>[] = []
    let left = 0
    for (let count = 0; count < 600; count += 1) {
      const method = draw(3) === 0 ? 'POST' : 'GET'
      const leaves = draw(6) === 0
      const one = ask(pool, { method, path: `/${count}` }, (sent) => {
        if (leaves) setTimeout(() => sent.cancel(), draw(20))
      })
      if (leaves) left += 1
      else asked.push(one)
      if (count % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      if (count % 150 === 149) {
        const nodes = count % 300 === 299 ? urls : urls.slice(1)
        pool = await opened.reload({ ...service, nodes, retry: { ...service.retry, attempts: draw(4) } })
      }
      if (count % 100 === 50) pool.update(pool.nodes[0]!.id, { state: draw(2) === 0 ? 'drain' : 'up' })
      for (const member of pool.nodes) members.add(member)
    }
    for (const member of pool.nodes) pool.update(member.id, { state: 'up' })
    const answers = await Promise.all(asked)
    t.ok(left > 20 && answers.some(({ status }) => status === 200))
    await until(() => [...members].every(({ inFlight }) => inFlight === 0), 'nothing is under way')
    for (const { nodes } of members) {
      for (const { client } of nodes) {
        t.equal(client.queued, 0)
        t.ok(client.open <= 3)
      }
    }
    // And all of it works on.
    let good = 0
    for (let count = 0; good < 20 && count < 2000; count += 1) {
      if ((await ask(pool, { path: `/${count}` })).status === 200) good += 1
      else await new Promise((resolve) => setTimeout(resolve, 2))
    }
    t.equal(good, 20)
  }
})
