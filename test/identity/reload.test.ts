import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { usersFile } from '../support/users.ts'

t.test('who is signed in stays so over a reload, who was kicked stays out', async (t) => {
  const auth = { users: { driver: 'file', path: 'users.json' } }
  const files = { 'users.json': await usersFile({ kesa: { password: '123' } }) }
  const { origin, reconfigure } = await startGateway(t, { auth, routes: [] }, { files })
  const login = async () =>
    (await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })).body
  const me = async (token: unknown) =>
    (await ask('GET', `${origin}/auth/me`, { token: String(token) })).status
  const [stays, leaves] = [await login(), await login()]
  await ask('POST', `${origin}/auth/logout`, { token: String(leaves?.access_token) })
  const configs = [
    { auth, routes: [], cors: { origins: ['https://app.example'] } },
    { auth: { ...auth, idle: '20m' }, routes: [] },
    { auth: { ...auth, headers: { user: 'x-who' } }, routes: [] }
  ]
  for (const config of configs) {
    t.match(await reconfigure(config), { outcome: 'applied' })
    t.equal(await me(stays?.access_token), 200)
    t.equal(await me(leaves?.access_token), 401)
  }
  const { status } = await ask('POST', `${origin}/auth/refresh`, {
    json: { refresh_token: stays?.refresh_token }
  })
  t.equal(status, 200)
  // Without the key the doors are gone, and with it again everything is as it was.
  await reconfigure({ routes: [] })
  t.equal(await me(stays?.access_token), 404)
  await reconfigure({ auth, routes: [] })
  t.equal(await me(stays?.access_token), 200)
  t.equal(await me(leaves?.access_token), 401)
})

t.test('a config whose users or keys cannot be read is refused, and the old one serves on', async (t) => {
  const auth = { users: { driver: 'file', path: 'users.json' } }
  const files = { 'users.json': await usersFile({ kesa: { password: '123' } }), 'broken.json': '{' }
  const { origin, reconfigure } = await startGateway(t, { auth, routes: [] }, { files })
  for (const broken of [
    { users: { driver: 'file', path: 'none.json' } },
    { users: { driver: 'file', path: 'broken.json' } },
    { ...auth, keys: { path: 'broken.json' } },
    { ...auth, keys: { path: 'users.json/keys.json' } }
  ]) {
    const result = await reconfigure({ auth: broken, routes: [] })
    t.match(result, { outcome: 'refused', mistakes: /^[^\n]+\.$/ })
  }
  const answer = await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })
  t.equal(answer.status, 200)
})
