import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { signatureOf } from '../../services/identity/users/signature.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { runToll } from '../support/running.ts'
import { type Behaviour, isGenuine, startUsersService, usersSecret } from '../support/users-service.ts'

const kesa = { uid: 'u-1', scopes: ['orders:read'], roles: ['buyer'], stamp: 'one' }

/** Knows kesa with the password "123". */
const honest: Behaviour = ({ path, body }) => {
  if (path === '/verify') {
    return body.username === 'kesa' && body.password === '123' ? { body: kesa } : { status: 401 }
  }
  return body.uid === 'u-1' ? { body: kesa } : { status: 404 }
}

async function start(t: Test, options: Record<string, unknown> = {}) {
  const service = await startUsersService(t, honest)
  const users = { driver: 'http', url: service.url, secret: usersSecret, timeout: '500ms', ...options }
  const { origin, log } = await startGateway(t, { auth: { users }, routes: [] })
  return {
    service,
    log,
    login: (username = 'kesa', password = '123') =>
      ask('POST', `${origin}/auth/login`, { json: { username, password } }),
    refresh: (token: unknown) => ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: token } }),
    me: (token: unknown) => ask('GET', `${origin}/auth/me`, { token: String(token) })
  }
}

/** What the log says of the last refusal at a door. */
const lastReason = (log: () => Record<string, unknown>[]) =>
  log()
    .filter(({ msg }) => msg === 'request')
    .at(-1)?.reason

t.test('a users service decides who signs in and what they may do', async (t) => {
  const { service, login, me, refresh, log } = await start(t)
  const { status, body } = await login()
  t.equal(status, 200)
  t.match((await me(body.access_token)).body, { user: 'u-1', scopes: ['orders:read'], roles: ['buyer'] })
  t.match(service.questions[0], {
    path: '/verify',
    body: { username: 'kesa', password: '123', address: '127.0.0.1', agent: String }
  })
  for (const [name, password] of [
    ['kesa', '124'],
    ['nobody', '123']
  ]) {
    t.match(await login(name, password), { status: 401, body: { code: 'INVALID_CREDENTIALS' } })
  }
  service.behave(() => ({ status: 404 }))
  t.equal((await login()).status, 401)
  t.equal((await login('kesa', 'x'.repeat(1025))).status, 401)
  t.equal(service.questions.length, 4, 'too long a password is nobody’s')
  service.behave(honest)
  t.equal((await refresh(body.refresh_token)).status, 200)
  t.same(service.questions.at(-1)?.body, { uid: 'u-1' })
  t.notMatch(JSON.stringify(log()), /"123"|124|orders:read/)
})

t.test('the signature is over everything, and fresh', async (t) => {
  const { service, login } = await start(t)
  await login()
  const { headers, text, path } = service.questions[0]!
  const request = { method: 'POST', url: path, headers }
  t.ok(isGenuine(request, text, new Set()))
  t.notOk(isGenuine(request, text.replace('kesa', 'tess'), new Set()), 'another body')
  t.notOk(isGenuine({ ...request, url: '/lookup' }, text, new Set()), 'another path')
  t.notOk(isGenuine({ ...request, method: 'PUT' }, text, new Set()), 'another method')
  const seen = new Set<string>()
  t.ok(isGenuine(request, text, seen))
  t.notOk(isGenuine(request, text, seen), 'the same again')
  const key = { id: 'k', secret: usersSecret }
  const late = signatureOf({ method: 'POST', path, body: text }, key, Date.now() - 120_000)
  t.notOk(isGenuine({ ...request, headers: { 'x-tollkeeper-signature': late } }, text, new Set()), 'old')
})

t.test('whatever is not a clear answer is 503, never 401, and the log says why', async (t) => {
  const { service, login, log } = await start(t)
  const broken: Record<string, [reason: string, behaviour: Behaviour]> = {
    'nothing for a while': ['users_timeout', () => undefined],
    'a head, and then nothing': [
      'users_timeout',
      (_, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('{')
        return undefined
      }
    ],
    'a connection that breaks': [
      'users_connection',
      (_, response) => {
        response.destroy()
        return undefined
      }
    ],
    'no JSON': ['users_answer', () => ({ body: '<html>' })],
    'a list': ['users_answer', () => ({ body: [] })],
    'an empty object': ['users_answer', () => ({ body: {} })],
    'a number for an id': ['users_answer', () => ({ body: { ...kesa, uid: 1 } })],
    'scopes as text': ['users_answer', () => ({ body: { ...kesa, scopes: 'admin' } })],
    'a scope with a space': ['users_answer', () => ({ body: { ...kesa, scopes: ['a b'] } })],
    'a misspelt member': ['users_answer', () => ({ body: { ...kesa, mustchange: true } })],
    'half a character in the id': ['users_answer', () => ({ body: '{"uid":"u\\ud800"}' })],
    'a member twice': ['users_answer', () => ({ body: '{"uid":"u-1","uid":"u-2"}' })],
    'a huge answer': ['users_answer', () => ({ body: { ...kesa, stamp: 'x'.repeat(70_000) } })],
    'a redirect': ['users_status', () => ({ status: 307, headers: { location: `${service.url}/verify` } })],
    'an error': ['users_status', () => ({ status: 500, body: kesa })],
    'another good status': ['users_status', () => ({ status: 201, body: kesa })],
    'a signature it does not believe': ['users_refused', () => ({ status: 403 })]
  }
  for (const [name, [reason, behaviour]] of Object.entries(broken)) {
    service.behave(behaviour)
    const before = service.questions.length
    const answer = await login()
    t.match(answer, { status: 503, body: { code: 'USERS_UNAVAILABLE' } }, name)
    t.equal(answer.headers.get('retry-after'), '2')
    t.equal(lastReason(log), reason, name)
    t.equal(service.questions.length, before + 1, 'asked once, and nowhere else')
    service.behave(honest)
    t.equal((await login()).status, 200)
  }
  t.notMatch(JSON.stringify(log()), /"123"|xxxx|<html>/)
})

t.test('no client makes a service fail, and so pause, by what no user can have typed', async (t) => {
  const { service, login } = await start(t)
  service.behave((question, response) =>
    /\\u0000|\\ud800/.test(question.text) ? { status: 500 } : honest(question, response)
  )
  for (const [odd, status, code] of [
    ['kesa\0', 401, 'INVALID_CREDENTIALS'],
    ['\ud800', 400, 'BAD_REQUEST']
  ] as const) {
    for (let turn = 0; turn < 3; turn += 1) {
      t.match(await login(odd), { status, body: { code } })
      t.equal((await login('tess', `123${odd}`)).status, status)
    }
  }
  t.equal(service.questions.length, 0)
  t.equal((await login()).status, 200)
  t.equal((await login('😀', '\t😀')).status, 401, 'a whole character is asked for')
  t.equal(service.questions.length, 2)
})

t.test('a service that is down is left alone for a moment, and found when it is back', async (t) => {
  const { service, login, log } = await start(t)
  await service.down()
  for (let turn = 0; turn < 5; turn += 1) {
    t.equal((await login()).status, 503)
    t.equal(lastReason(log), 'users_connection')
  }
  t.equal((await login()).status, 503)
  t.equal(lastReason(log), 'users_paused')
  await service.up()
  const deadline = Date.now() + 10_000
  while ((await login()).status !== 200 && Date.now() < deadline) await sleep(100)
  t.equal((await login()).status, 200)
  t.equal((await login('kesa', '124')).status, 401)
})

t.test('during an outage a refresh is 503 and spends no token', async (t) => {
  const { service, login, refresh } = await start(t, { cache: '0s' })
  const { body } = await login()
  service.behave(() => ({ status: 500 }))
  t.match(await refresh(body.refresh_token), { status: 503, body: { code: 'USERS_UNAVAILABLE' } })
  service.behave(honest)
  const { body: next } = await refresh(body.refresh_token)
  const { body: later } = await refresh(next.refresh_token)
  t.ok(later.access_token)
  service.behave(() => ({ status: 401 }))
  t.equal(
    (await refresh(later.refresh_token)).status,
    503,
    'a 401 says nothing about a user that is looked up'
  )
  service.behave(() => ({ body: { ...kesa, uid: 'u-2' } }))
  t.equal((await refresh(later.refresh_token)).status, 503, 'another user than the one asked for')
  service.behave(() => ({ status: 404 }))
  t.match(await refresh(later.refresh_token), { status: 400, body: { code: 'INVALID_GRANT' } })
  service.behave(honest)
  t.equal((await refresh(later.refresh_token)).status, 400, 'a user that is gone ends the session')
})

t.test('what was looked up is believed for a moment, but never against a newer stamp', async (t) => {
  const { service, login, refresh, me } = await start(t, { cache: '1m' })
  const lookups = () => service.questions.filter(({ path }) => path === '/lookup').length
  const { body } = await login()
  const { body: second } = await refresh(body.refresh_token)
  const { body: third } = await refresh(second.refresh_token)
  t.equal(lookups(), 1)
  service.behave(({ path }) => ({ body: { ...kesa, scopes: [path], stamp: 'two' } }))
  const { body: fresh } = await login()
  const refreshed = await refresh(fresh.refresh_token)
  t.equal(refreshed.status, 200, 'the password was changed elsewhere, and this is the new one')
  t.same((await me(refreshed.body.access_token)).body.scopes, ['/lookup'])
  t.equal((await refresh(third.refresh_token)).status, 400, 'a session of the old password ends')
})

t.test('a password that has to be changed signs nobody in', async (t) => {
  const { service, login } = await start(t)
  service.behave(() => ({ body: { ...kesa, mustChange: true } }))
  t.match(await login(), { status: 403, body: { code: 'PASSWORD_CHANGE_NEEDED' } })
})

t.test('where nobody signs in there is no door, and toll check says what surprises', async (t) => {
  const { origin } = await startGateway(t, { auth: { users: { driver: 'none' } }, routes: [] })
  const login = await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })
  t.match(login, { status: 404, body: { code: 'ROUTE_NOT_FOUND' } })
  t.equal((await ask('GET', `${origin}/auth/me`)).status, 401)
  const check = async (users: unknown, paths = {}) => {
    const config = JSON.stringify({ auth: { users, paths }, routes: [] })
    const toll = runToll(t, ['check'], { 'gateway.config.json': config })
    const code = await toll.ended
    return { code, said: toll.output.out + toll.output.err }
  }
  t.match(await check({ driver: 'none' }, { login: '/in' }), {
    code: 0,
    said: /nobody can sign in here and \/in answers 404/
  })
  t.notMatch((await check({ driver: 'none' })).said, /404/)
  const service = { driver: 'http', secret: usersSecret }
  t.match(await check({ ...service, url: 'http://users.example' }), { code: 2, said: /in the clear/ })
  t.match(await check({ ...service, url: 'http://users.example', allowInsecure: true }), { code: 0 })
  t.match(await check({ ...service, url: 'https://users.example/x' }), { code: 0 })
  t.match(await check({ ...service, url: 'https://users.example', secret: 'short' }), { code: 2 })
  const shown = await check({ ...service, url: 'http://users.example' })
  t.notMatch(shown.said, usersSecret)
})

t.test('the secret is kept out of the config that is shown', async (t) => {
  const { directory, path } = await startGateway(t, {
    auth: { users: { driver: 'http', url: 'http://127.0.0.1:1', secret: usersSecret } },
    routes: []
  })
  t.ok(directory)
  const { redacted } = await loadGatewayConfig(path)
  t.notMatch(JSON.stringify(redacted), usersSecret)
})
