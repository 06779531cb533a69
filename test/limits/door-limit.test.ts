import t from 'tap'
import { doorLimit, guardArea, guardedAs } from '../../plugins/door-limit.ts'
import { ask } from '../support/client.ts'
import { corridor } from './corridor.ts'

const options = {
  login: { max: 2, window: '1m' },
  refresh: { max: 3, window: '1m' },
  admin: { max: 2, window: '1m' }
}

t.test('refuses the third sign-in of a window of two, and says when to come back', async (t) => {
  const { origin, app } = await corridor(t, { doors: ['/login', '/refresh'] }, async (app, services) => {
    await doorLimit.setup(app, options, services)
    app.post('/login', { config: guardedAs(app, 'login') }, async () => 'in')
    app.post('/refresh', { config: guardedAs(app, 'refresh') }, async () => 'again')
  })
  t.equal((await ask('POST', `${origin}/login`)).status, 200)
  t.equal((await ask('POST', `${origin}/login`)).status, 200)
  const third = await ask('POST', `${origin}/login`)
  t.equal(third.status, 429)
  t.match(third.body, { code: 'TOO_MANY_ATTEMPTS', status: 429 })
  const after = Number(third.headers.get('retry-after'))
  t.ok(after >= 58 && after <= 62, `${after} s`)
  t.match(third.body.detail, `ask again after ${after} s.`)
  t.notOk([...third.headers.keys()].some((name) => name.startsWith('x-ratelimit')))

  t.equal((await ask('POST', `${origin}/refresh`)).status, 200, 'each door counts for itself')
  t.ok(app.hasPlugin('@fastify/rate-limit'))
})

t.test('counts an IPv6 address by its /64, and each address for itself', async (t) => {
  const { origin } = await corridor(t, { doors: ['/login'] }, async (app, services) => {
    await doorLimit.setup(app, options, services)
    app.post('/login', { config: guardedAs(app, 'login') }, async () => 'in')
  })
  const from = async (client: string): Promise<number> =>
    (await ask('POST', `${origin}/login`, { headers: { 'x-test-client': client } })).status
  t.same(
    [await from('2001:db8::1'), await from('2001:db8::2'), await from('2001:db8:0:0:f::3')],
    [200, 200, 429]
  )
  t.same([await from('2001:db8:0:1::1'), await from('192.0.2.1'), await from('192.0.2.2')], [200, 200, 200])
})

t.test('a reload does not give whoever is guessing a fresh start', async (t) => {
  const first = await corridor(t, { doors: ['/login'] }, setup)
  t.equal((await ask('POST', `${first.origin}/login`)).status, 200)
  t.equal((await ask('POST', `${first.origin}/login`)).status, 200)
  const second = await corridor(t, { doors: ['/login'], services: first.services }, setup)
  t.equal((await ask('POST', `${second.origin}/login`)).status, 429)

  async function setup(app: Parameters<typeof guardedAs>[0], services: typeof first.services): Promise<void> {
    await doorLimit.setup(app, options, services)
    app.post('/login', { config: guardedAs(app, 'login') }, async () => 'in')
  }
})

t.test('guards an area before its credentials are looked at, and nothing outside', async (t) => {
  const { origin } = await corridor(t, { doors: ['/admin', '/livez'] }, async (app, services) => {
    await doorLimit.setup(app, options, services)
    guardArea(app, 'admin', (path) => path.startsWith('/admin'))
    app.addHook('onRequest', async (request) => {
      if (request.exchange.path.startsWith('/admin'))
        throw Object.assign(new Error('no'), { statusCode: 401 })
    })
    app.get('/admin', async () => 'never')
    app.get('/livez', async () => 'alive')
  })
  const asked: number[] = []
  for (let index = 0; index < 4; index += 1) asked.push((await ask('GET', `${origin}/admin`)).status)
  t.same(asked.slice(2), [429, 429], 'guessing tokens is counted')
  for (let index = 0; index < 5; index += 1) t.equal((await ask('GET', `${origin}/livez`)).status, 200)
})

t.test('never touches a configured route', async (t) => {
  const { origin } = await corridor(t, { routes: [{ id: 'open', path: '/open' }] }, async (app, services) => {
    await doorLimit.setup(app, options, services)
  })
  for (let index = 0; index < 5; index += 1) t.equal((await ask('GET', `${origin}/open`)).status, 200)
})
