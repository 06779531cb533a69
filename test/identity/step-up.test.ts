import { join } from 'node:path'
import t from 'tap'
import { accessOptions } from '../../services/identity/access-check.ts'
import { KeyRing } from '../../services/identity/keys/key-ring.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ kesa: { password: '123' } })

t.test(
  'a route for who signed in lately takes a new sign-in, no refresh, and nobody without auth_time',
  async (t) => {
    const up = await httpUpstream(t, (_request, response) => response.end('done'))
    const { origin, directory, log } = await startGateway(
      t,
      {
        store: { driver: 'embedded', path: 'store' },
        auth: { users: { path: 'users.json' } },
        services: { up: { nodes: [up.url] } },
        routes: [
          { id: 'pay', path: '/pay', service: 'up', auth: { maxAge: '5m' } },
          { id: 'soon', path: '/soon', service: 'up', auth: { maxAge: '1s' } },
          { id: 'maybe', path: '/maybe', service: 'up', auth: { mode: 'optional', maxAge: '5m' } },
          { id: 'see', path: '/see', service: 'up' }
        ]
      },
      { files: { 'users.json': users } }
    )
    const login = async () =>
      (await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })).body
    const claimsOf = (token: unknown) =>
      JSON.parse(Buffer.from(String(token).split('.')[1]!, 'base64url').toString()) as Record<string, number>
    const get = (path: string, token: unknown) => ask('GET', origin + path, { token: String(token) })

    // 1. Just signed in.
    const first = await login()
    t.equal((await get('/pay', first.access_token)).status, 200)
    // 2. A refresh keeps the time of the sign-in, however much later it is.
    await new Promise((resolve) => setTimeout(resolve, 2100))
    const refreshed = (
      await ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: first.refresh_token } })
    ).body
    const [before, after] = [claimsOf(first.access_token), claimsOf(refreshed.access_token)]
    t.equal(after.auth_time, before.auth_time)
    t.ok(after.iat! > before.iat!)
    const refused = await get('/soon', refreshed.access_token)
    t.equal(refused.status, 401)
    t.match(
      refused.headers.get('www-authenticate'),
      'Bearer realm="tollkeeper", error="insufficient_user_authentication", max_age=1'
    )
    // 3. A sign-in makes a new one.
    t.equal((await get('/soon', (await login()).access_token)).status, 200)
    // 4. Five minutes are five minutes; who does not say when is refused.
    const keys = await KeyRing.open(join(directory, '.toll/keys.json'))
    t.teardown(() => keys.close())
    const sign = (change: object) => keys.sign({ ...after, ...change }, { typ: 'at+jwt' })
    const now = Math.floor(Date.now() / 1000)
    t.equal((await get('/pay', sign({ auth_time: now - 290 }))).status, 200)
    t.match(
      (await get('/pay', sign({ auth_time: now - 302 }))).headers.get('www-authenticate'),
      /max_age=300$/
    )
    for (const wrong of [undefined, '9999999999', null, now + 60, now * 1000]) {
      t.equal((await get('/pay', sign({ auth_time: wrong }))).status, 401, String(wrong))
    }
    t.equal((await get('/see', sign({ auth_time: undefined }))).status, 200)
    t.equal((await ask('GET', `${origin}/maybe`)).status, 200)
    t.equal((await get('/maybe', sign({ auth_time: now - 302 }))).status, 401)
    const reasons = log().flatMap(({ reason }) => reason ?? [])
    t.ok(reasons.includes('auth_time') && reasons.includes('claims.auth_time'))
  }
)

t.test('a config that asks for what cannot be is a mistake', async (t) => {
  const told = (auth: object) => {
    const found: string[] = []
    accessOptions(
      { routes: [{ id: 'a', auth }] } as never,
      { error: (at: string) => found.push(at) } as never
    )
    return found
  }
  t.same(told({ mode: 'none', oneTime: true }), ['/routes/0/auth/oneTime'])
  t.same(told({ mode: 'none', maxAge: '5m' }), ['/routes/0/auth/maxAge'])
  t.same(told({ mode: 'required', maxAge: '500ms' }), ['/routes/0/auth/maxAge'])
  t.same(told({ mode: 'required', maxAge: '5m', oneTime: true }), [])
})
