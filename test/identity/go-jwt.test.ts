import { createHmac } from 'node:crypto'
import t from 'tap'
import { ask } from '../support/client.ts'
import { makeSandbox } from '../support/sandbox.ts'
import { startToll } from '../support/toll.ts'

/** The faults that servers written after the walk-through usually have; its README is followed by the example tests. */
t.test('examples/go-jwt has none of the known faults of the walk-through', async (t) => {
  const box = await makeSandbox(t, { 'examples/go-jwt': '.' })
  const admin = box.at('127.0.0.1:8082')
  const toll = await startToll(t, ['dev'], { cwd: box.directory, admin, processes: 1 })
  const origin = `http://${box.at('127.0.0.1:8080')}`
  const login = async () => {
    const { body } = await ask('POST', `${origin}/public/login`, { form: 'username=kesa&password=123' })
    return { access: String(body.accessToken), refresh: String(body.refreshToken) }
  }
  const welcome = async (token?: string) =>
    (await ask('GET', `${origin}/user/welcome`, token === undefined ? {} : { token })).status
  const refresh = async (refreshToken: string) =>
    (await ask('POST', `${origin}/public/refresh`, { json: { refreshToken } })).status

  const first = await login()
  t.equal(await welcome(first.access), 200, 'positive control')
  t.equal(await refresh(first.access), 400, 'an access token is no refresh token')
  t.equal(await welcome(first.refresh), 401, 'a refresh token opens no route')
  t.equal(await welcome(), 401, 'a missing token is a 401, not a 403')

  const [, payload = ''] = first.access.split('.')
  for (const alg of ['none', 'HS256']) {
    const kid = JSON.parse(Buffer.from(first.access.split('.')[0]!, 'base64url').toString()).kid as string
    const input = `${Buffer.from(JSON.stringify({ alg, typ: 'at+jwt', kid })).toString('base64url')}.${payload}`
    const { text } = await ask('GET', `${origin}/.well-known/jwks.json`)
    const mac = createHmac('sha256', text).update(input).digest('base64url')
    t.equal(await welcome(`${input}.${mac}`), 401, `the algorithm is pinned: ${alg}`)
  }

  const logout = await ask('POST', `${origin}/user/logout`, { token: first.access })
  t.equal(logout.status, 204)
  t.equal(await welcome(first.access), 401)
  t.equal(await refresh(first.refresh), 400, 'logging out ends the refresh token as well')

  const spoofed = await ask('GET', `${origin}/user/welcome`, {
    token: (await login()).access,
    headers: { 'x-user-id': 'root', 'X-User_Id': 'root', 'x.user.id': 'root' }
  })
  t.match(spoofed, { status: 200, text: 'Welcome ! kesa\n' })
  t.notMatch(toll.output(), /eyJ|tlr1\./, 'no token in the log')
  t.match(toll.output(), /unsafeGet/, 'what is unsafe is said at start')
})
