import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { configFor, httpUpstream, RawClient } from '../support/upstream.ts'

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

async function eventually(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`it did not come to this: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

for (const transport of ['direct', 'http-proxy']) {
  t.test(`a route takes so many requests at once and no more, over ${transport}`, async (t) => {
    const waiting: (() => void)[] = []
    const up = await httpUpstream(t, (_, response) => waiting.push(() => response.end('ok')))
    const config = configFor([up.url], { service: { transport }, route: { path: '/few', maxInFlight: 2 } })
    const routes = [
      ...(config.routes as object[]),
      { id: 'other', path: '/other', service: 'up', auth: 'none' }
    ]
    const { origin, admin, log, reconfigure } = await startGateway(t, { ...config, routes })
    const few = get.replace('/', '/few')
    const clients = [new RawClient(origin).write(few), new RawClient(origin).write(few)]
    await eventually('two are under way', () => waiting.length === 2)
    const third = await ask('GET', `${origin}/few`)
    t.equal(third.status, 503)
    t.match(third.body, { code: 'OVERLOADED' })
    t.equal(third.headers.get('retry-after'), '1')
    t.equal(up.requests.length, 2, 'the service hears nothing of it')
    const explained = await startedExplain(admin)
    t.match(explained, { status: 401 }, 'the admin API is there')

    await reconfigure({ ...config, routes, log: { level: 'debug' } })
    t.equal((await ask('GET', `${origin}/few`)).status, 503, 'a reload forgets none')

    // One gets its answer, one leaves: both places are free again.
    waiting[0]!()
    await clients[0]!.until(/ok/)
    clients[1]!.close()
    const again = new RawClient(origin)
    await eventually('there is a place again', async () => {
      again.received = ''
      again.write(few)
      await eventually('it is decided', () => waiting.length === 3 || again.received !== '')
      return waiting.length === 3
    })
    waiting[2]!()
    await again.until(/200 OK/)
    again.close()
    clients[0]!.close()
    t.ok(log().some(({ msg, reason }) => msg === 'request' && reason === 'route_in_flight'))
  })

  t.test(
    `the gateway takes so many requests at once and no more, doors among them, over ${transport}`,
    async (t) => {
      const waiting: (() => void)[] = []
      const up = await httpUpstream(t, (_, response) => waiting.push(() => response.end('ok')))
      const { origin, admin, log } = await startGateway(
        t,
        {
          ...configFor([up.url], { service: { transport } }),
          auth: { users: { path: 'users.json' } },
          pressure: { maxInFlight: 2 }
        },
        { files: { 'users.json': '{ "users": {} }' } }
      )
      const clients = [new RawClient(origin).write(get), new RawClient(origin).write(get + get)]
      await eventually('two are under way', () => waiting.length === 2)
      t.equal((await ask('GET', origin)).status, 503)
      const login = await ask('POST', `${origin}/auth/login`, { json: { username: 'a', password: 'b' } })
      t.match([login.status, login.body.code], [503, 'OVERLOADED'])
      t.equal((await ask('GET', `${admin}/livez`)).status, 200)
      t.equal((await ask('GET', `${admin}/admin/routes`)).status, 401)
      const metrics = await ask('GET', `${admin}/metrics`)
      t.match(metrics.text, /tollkeeper_refusals_total\{code="OVERLOADED",reason="pressure_in_flight"\} 2\n/)
      for (const answer of waiting) answer()
      await eventually('what waited in its turn is asked', () => waiting.length === 3)
      waiting[2]!()
      await clients[1]!.until(/200 OK.*200 OK/s)
      t.equal(
        (await ask('POST', `${origin}/auth/login`, { json: { username: 'a', password: 'b' } })).status,
        401
      )
      await eventually('it is told', () => log().some(({ msg }) => msg === 'too busy, requests are refused'))
      t.equal(log().filter(({ msg }) => msg === 'too busy, requests are refused').length, 1)
      for (const client of clients) client.close()
    }
  )
}

const startedExplain = (admin: string) => ask('POST', `${admin}/admin/explain`, { json: {} })

t.test('while the event loop is late requests are refused, and taken again by itself', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const { origin } = await startGateway(t, { ...configFor([up.url]), pressure: { maxDelay: '40ms' } })
  const work = setInterval(() => {
    const until = performance.now() + 120
    while (performance.now() < until);
  }, 1)
  t.teardown(() => clearInterval(work))
  const asked = async () => await ask('GET', origin)
  let refused = await asked()
  await eventually('it is too busy', async () => {
    refused = await asked()
    return refused.status === 503
  })
  t.match(refused.body, { code: 'OVERLOADED' })
  clearInterval(work)
  await eventually('it takes requests again', async () => (await asked()).status === 200)
})

t.test('while the heap is full requests are refused', async (t) => {
  const up = await httpUpstream(t, (_, response) => response.end('ok'))
  const { origin, reconfigure } = await startGateway(t, configFor([up.url]))
  t.equal((await ask('GET', origin)).status, 200)
  const ballast = Array.from({ length: 3_000_000 }, (_, index) => ({ index }))
  await reconfigure({ ...configFor([up.url]), pressure: { maxHeap: 1 } })
  await eventually('it is too full', async () => (await ask('GET', origin)).status === 503)
  t.equal(ballast.length, 3_000_000)
  await reconfigure({ ...configFor([up.url]), pressure: { maxHeap: 100 } })
  t.equal((await ask('GET', origin)).status, 200)
})
