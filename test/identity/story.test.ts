import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { changePassword, removeUser } from '../../services/identity/users/user-editing.ts'
import { type Answer, ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { storeConfigs } from '../support/stores.ts'
import { usersFile } from '../support/users.ts'

const files = {
  'users.json': await usersFile({
    kesa: { password: '123', scopes: ['orders:read'], roles: ['buyer'] },
    tess: { password: 'pässword' },
    gone: { password: '123', disabled: true },
    root: { password: 'r', scopes: ['admin'] }
  })
}
const users = { driver: 'file', path: 'users.json' }

for (const store of await storeConfigs(t)) {
  const start = async (t: Parameters<typeof startGateway>[0], auth: Record<string, unknown> = {}) => {
    const gateway = await startGateway(t, { store, auth: { users, ...auth }, routes: [] }, { files })
    const { origin, admin, directory } = gateway
    const adminToken = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
    return {
      ...gateway,
      login: (username = 'kesa', password = '123') =>
        ask('POST', `${origin}/auth/login`, { json: { username, password } }),
      refresh: (token: unknown) => ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: token } }),
      me: (token: unknown) => ask('GET', `${origin}/auth/me`, { token: token as string }),
      door: (method: string, path: string, token?: unknown) =>
        ask(method, origin + path, token === undefined ? {} : { token: token as string }),
      asAdmin: (method: string, path: string) => ask(method, admin + path, { token: adminToken })
    }
  }
  const isProblem = (t: Parameters<typeof startGateway>[0], answer: Answer, status: number, code: string) => {
    t.equal(answer.status, status, answer.text)
    t.equal(answer.body.code, code)
    t.match(answer.headers.get('content-type'), 'application/problem+json')
  }

  t.test(`${store.driver}: sign in, ask, refresh, sign out`, async (t) => {
    const { login, refresh, me, door } = await start(t)
    // 1. Signing in gives the pair, and nobody may keep the answer.
    const signedIn = await login()
    t.match(signedIn, { status: 200, body: { token_type: 'Bearer', expires_in: 900 } })
    t.equal(signedIn.headers.get('cache-control'), 'no-store')
    const { access_token, refresh_token, session } = signedIn.body
    // 2. The access token says who asks.
    const { body } = await me(access_token)
    t.match(body, { user: 'kesa', session, scopes: ['orders:read'], roles: ['buyer'] })
    // 3. Refreshing gives another pair of the same session; the refresh token is no access token, nor the other way round.
    const refreshed = await refresh(refresh_token)
    t.match(refreshed, { status: 200, body: { session } })
    t.not(refreshed.body.refresh_token, refresh_token)
    t.not(refreshed.body.access_token, access_token)
    isProblem(t, await me(refreshed.body.refresh_token), 401, 'UNAUTHENTICATED')
    isProblem(t, await refresh(refreshed.body.access_token), 400, 'INVALID_GRANT')
    // 4. Signing out ends all of it at once, both access tokens included.
    t.equal((await door('POST', '/auth/logout', refreshed.body.access_token)).status, 204)
    for (const token of [access_token, refreshed.body.access_token]) {
      const refused = await me(token)
      isProblem(t, refused, 401, 'UNAUTHENTICATED')
      t.equal(refused.body.detail, 'The session was ended; sign in again.')
      t.equal(refused.headers.get('www-authenticate'), 'Bearer realm="tollkeeper", error="invalid_token"')
    }
    isProblem(t, await refresh(refreshed.body.refresh_token), 400, 'INVALID_GRANT')
  })

  t.test(`${store.driver}: without credentials the challenge names no error`, async (t) => {
    const { door, origin } = await start(t)
    const refused = await door('GET', '/auth/me')
    isProblem(t, refused, 401, 'UNAUTHENTICATED')
    t.equal(refused.headers.get('www-authenticate'), 'Bearer realm="tollkeeper"')
    const basic = await ask('GET', `${origin}/auth/me`, { headers: { authorization: 'Basic a2VzYToxMjM=' } })
    t.equal(basic.headers.get('www-authenticate'), 'Bearer realm="tollkeeper"')
    const inQuery = await door('GET', '/auth/me?access_token=x')
    t.equal(
      inQuery.headers.get('www-authenticate'),
      'Bearer realm="tollkeeper"',
      'the query is not looked at'
    )
  })

  t.test(
    `${store.driver}: a wrong password, an unknown and a disabled user get the same answer`,
    async (t) => {
      const { login } = await start(t)
      const told = async (name: string, password: string) => {
        const answer = await login(name, password)
        const { requestId: _, ...body } = answer.body
        return { status: answer.status, challenge: answer.headers.get('www-authenticate'), body }
      }
      const wrong = await told('kesa', '124')
      t.match(wrong, {
        status: 401,
        challenge: 'Bearer realm="tollkeeper"',
        body: { code: 'INVALID_CREDENTIALS' }
      })
      t.same(await told('nobody', '123'), wrong)
      t.same(await told('gone', '123'), wrong)
      t.same(await told('kesa', 'x'.repeat(2000)), wrong, 'longer than a password may be')
      t.same(await told('constructor', '123'), wrong)
      t.equal((await login('tess', 'pa\u0308ssword')).status, 200, 'another spelling of the same letters')
    }
  )

  t.test(`${store.driver}: a spent refresh token ends the family, access tokens included`, async (t) => {
    const { login, refresh, me } = await start(t, { grace: '0s', unconfirmed: '0s' })
    const { body: first } = await login()
    const { body: second } = await refresh(first.refresh_token)
    const { body: bystander } = await login()
    isProblem(t, await refresh(first.refresh_token), 400, 'INVALID_GRANT')
    for (const { access_token } of [first, second]) t.equal((await me(access_token)).status, 401)
    isProblem(t, await refresh(second.refresh_token), 400, 'INVALID_GRANT')
    t.equal((await me(bystander.access_token)).status, 200)
  })

  t.test(`${store.driver}: a refresh whose answer was lost can be asked again`, async (t) => {
    const { login, refresh, me } = await start(t)
    const { body } = await login()
    const [first, second] = [await refresh(body.refresh_token), await refresh(body.refresh_token)]
    t.equal(second.status, 200)
    t.equal(second.body.refresh_token, first.body.refresh_token, 'the same successor')
    t.equal((await me(second.body.access_token)).status, 200)
    const altered = String(first.body.refresh_token).replace(/\.1\./, '.2.')
    isProblem(t, await refresh(altered), 400, 'INVALID_GRANT')
    t.equal((await refresh(first.body.refresh_token)).status, 200, 'a forged one harms nobody')
  })

  t.test(`${store.driver}: users see and end their own sessions only`, async (t) => {
    const { login, me, door } = await start(t)
    const [{ body: one }, { body: two }, { body: other }] = [
      await login(),
      await login(),
      await login('tess', 'pässword')
    ]
    const listed = await door('GET', '/auth/sessions', one.access_token)
    const sessions = listed.body.sessions as { id: string; current: boolean }[]
    t.same(sessions.map(({ id }) => id).sort(), [one.session, two.session].sort())
    t.equal(sessions.find(({ current }) => current)?.id, one.session)
    isProblem(t, await door('DELETE', `/auth/sessions/${other.session}`, one.access_token), 404, 'NOT_FOUND')
    isProblem(t, await door('DELETE', '/auth/sessions/x', one.access_token), 404, 'NOT_FOUND')
    t.equal((await me(other.access_token)).status, 200)
    t.equal((await door('DELETE', `/auth/sessions/${two.session}`, one.access_token)).status, 204)
    t.equal((await me(two.access_token)).status, 401)
    t.equal((await me(one.access_token)).status, 200)
  })

  t.test(`${store.driver}: logout-all ends every session, and signing in right after works`, async (t) => {
    const { login, me, door, refresh } = await start(t)
    const [{ body: one }, { body: two }] = [await login(), await login()]
    t.equal((await door('POST', '/auth/logout-all', one.access_token)).status, 204)
    const { body: later } = await login()
    t.equal((await me(later.access_token)).status, 200, 'also within the same second')
    for (const { access_token } of [one, two]) t.equal((await me(access_token)).status, 401)
    t.equal((await refresh(two.refresh_token)).status, 400)
  })

  t.test(`${store.driver}: the refresh token alone can sign out`, async (t) => {
    const { login, me, origin } = await start(t)
    const { body } = await login()
    const logout = (token: unknown) =>
      ask('POST', `${origin}/auth/logout`, { json: { refresh_token: token } })
    t.equal((await logout(body.refresh_token)).status, 204)
    t.equal((await me(body.access_token)).status, 401)
    t.equal((await logout(body.refresh_token)).status, 204, 'twice is not a mistake')
    isProblem(t, await logout('tlr1.x'), 400, 'INVALID_GRANT')
  })

  t.test(`${store.driver}: the administrator counts, lists and kicks`, async (t) => {
    const { login, me, refresh, asAdmin, admin } = await start(t)
    const before = (await asAdmin('GET', '/admin/online')).body as { sessions: number; users: number }
    const [{ body: one }, { body: two }] = [await login(), await login()]
    const { body: other } = await login('tess', 'pässword')
    const online = (await asAdmin('GET', '/admin/online')).body as { sessions: number; users: number }
    t.equal(online.sessions - before.sessions, 3)
    const listed = (await asAdmin('GET', '/admin/sessions?user=kesa')).body.sessions as {
      id: string
      user: string
    }[]
    t.ok(listed.some(({ id, user }) => id === one.session && user === 'kesa'))
    const everybody = (await asAdmin('GET', '/admin/sessions?limit=1000')).body.sessions as { id: string }[]
    for (const { session } of [one, two, other]) t.ok(everybody.some(({ id }) => id === session))
    t.equal((await asAdmin('DELETE', `/admin/sessions/${one.session}`)).status, 204)
    t.equal((await me(one.access_token)).status, 401, 'although the token is in date')
    t.equal((await refresh(one.refresh_token)).status, 400)
    t.equal((await me(two.access_token)).status, 200)
    isProblem(t, await asAdmin('DELETE', `/admin/sessions/${one.session}`), 404, 'NOT_FOUND')
    t.match(await asAdmin('DELETE', '/admin/users/kesa/sessions'), {
      status: 200,
      body: { propagated: true }
    })
    t.equal((await me(two.access_token)).status, 401)
    t.equal((await me(other.access_token)).status, 200)
    isProblem(t, await asAdmin('GET', '/admin/sessions?limit=x'), 400, 'BAD_REQUEST')
    // Users with the scope get in as well, others do not.
    const { body: root } = await login('root', 'r')
    t.equal((await ask('GET', `${admin}/admin/online`, { token: String(root.access_token) })).status, 200)
    isProblem(
      t,
      await ask('GET', `${admin}/admin/online`, { token: String(other.access_token) }),
      403,
      'FORBIDDEN'
    )
  })

  t.test(`${store.driver}: doors take JSON and forms, and say what is wrong with a body`, async (t) => {
    const { origin } = await start(t)
    const url = `${origin}/auth/login`
    t.equal((await ask('POST', url, { form: 'username=kesa&password=123' })).status, 200)
    isProblem(
      t,
      await ask('POST', url, { form: 'username=kesa&username=tess&password=123' }),
      400,
      'BAD_REQUEST'
    )
    isProblem(t, await ask('POST', url, { json: { username: 'kesa' } }), 400, 'BAD_REQUEST')
    isProblem(t, await ask('POST', url, { json: { username: 'kesa', password: 1 } }), 400, 'BAD_REQUEST')
    isProblem(t, await ask('POST', url, { json: ['kesa'] }), 400, 'BAD_REQUEST')
    isProblem(t, await ask('POST', url), 400, 'BAD_REQUEST')
    const broken = { headers: { 'content-type': 'application/json' }, form: undefined as never }
    const bad = await fetch(url, { method: 'POST', ...broken, body: '{"username":' })
    t.equal(bad.status, 400)
    const text = await fetch(url, { method: 'POST', headers: { 'content-type': 'text/xml' }, body: '<a/>' })
    t.equal(text.status, 415)
    isProblem(
      t,
      await ask('POST', url, { json: { username: 'x'.repeat(9000), password: '1' } }),
      413,
      'BODY_TOO_LARGE'
    )
    const link = await ask('GET', `${origin}/auth/logout`)
    isProblem(t, link, 405, 'METHOD_NOT_ALLOWED')
    t.equal(link.headers.get('allow'), 'POST', 'a link signs nobody out')
    const others = await ask('PUT', `${origin}/auth/me`)
    t.match({ status: others.status, allow: others.headers.get('allow') }, { status: 405, allow: /GET/ })
  })

  t.test(`${store.driver}: fields and paths are spelt as the config says`, async (t) => {
    const { origin, log } = await start(t, {
      fields: 'camel',
      unsafeGet: true,
      paths: { login: '/public/login', refresh: '/public/refresh', logout: '/user/logout' }
    })
    const { status, body } = await ask('POST', `${origin}/public/login`, {
      form: 'username=kesa&password=123'
    })
    t.match(
      { status, body },
      { status: 200, body: { accessToken: String, refreshToken: String, expiresIn: 900 } }
    )
    const refreshed = await ask('GET', `${origin}/public/refresh`, { token: String(body.refreshToken) })
    t.match(refreshed, { status: 200, body: { refreshToken: String } })
    t.equal(
      (await ask('GET', `${origin}/user/logout`, { token: String(refreshed.body.accessToken) })).status,
      204
    )
    t.equal(
      (await ask('POST', `${origin}/public/refresh`, { json: { refreshToken: refreshed.body.refreshToken } }))
        .status,
      400
    )
    t.ok(log().some(({ level, msg }) => level === 'warn' && String(msg).includes('unsafeGet')))
    t.equal((await ask('POST', `${origin}/auth/login`, { json: {} })).status, 404)
  })

  t.test(`${store.driver}: an idle session ends, a used one goes on until its absolute end`, async (t) => {
    const { login, me, refresh } = await start(t, { access: '15m', idle: '1s', refresh: '3s' })
    const { body } = await login()
    const { body: idle } = await login()
    const beganAt = Date.now()
    while (Date.now() - beganAt < 1800) {
      t.equal((await me(body.access_token)).status, 200)
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    t.equal((await me(idle.access_token)).status, 401, 'nobody used it')
    t.equal((await refresh(idle.refresh_token)).status, 400)
    while (Date.now() - beganAt < 3200) {
      await me(body.access_token)
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    t.equal((await refresh(body.refresh_token)).status, 400, 'the absolute end')
  })

  t.test(`${store.driver}: who gets another password, is disabled or removed is signed out`, async (t) => {
    const { login, me, refresh, directory } = await start(t)
    const path = join(directory, 'users.json')
    const kesa = (await login()).body
    const tess = (await login('tess', 'pässword')).body
    const root = (await login('root', 'r')).body
    await changePassword(path, 'kesa', '456')
    await removeUser(path, 'tess')
    const deadline = Date.now() + 5000
    while ((await me(tess.access_token)).status === 200 && Date.now() < deadline) {}
    t.equal((await me(tess.access_token)).status, 401)
    t.equal((await me(kesa.access_token)).status, 401)
    for (const { refresh_token } of [kesa, tess]) t.equal((await refresh(refresh_token)).status, 400)
    t.equal((await me(root.access_token)).status, 200, 'nothing changed for others')
    t.equal((await login('kesa', '123')).status, 401)
    const later = await login('kesa', '456')
    t.equal((await me(later.body.access_token)).status, 200)
  })

  t.test(`${store.driver}: the public keys are public only`, async (t) => {
    const { origin } = await start(t)
    const answer = await ask('GET', `${origin}/.well-known/jwks.json`)
    t.equal(answer.headers.get('cache-control'), 'public, max-age=300')
    const [key] = answer.body.keys as Record<string, unknown>[]
    t.same(Object.keys(key!).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
    const etag = answer.headers.get('etag')!
    t.equal(
      (await ask('GET', `${origin}/.well-known/jwks.json`, { headers: { 'if-none-match': etag } })).status,
      304
    )
  })

  t.test(`${store.driver}: a parent works again until a token of its successor was used`, async (t) => {
    const { login, refresh, me } = await start(t, { grace: '0s' })
    // 1. The answer is lost, several times: the same successor, a fresh access token, the same session.
    const { body: first } = await login()
    const answers = [await refresh(first.refresh_token), await refresh(first.refresh_token)]
    t.same(
      answers.map(({ status, body }) => [status, body.session, body.refresh_token]),
      Array(2).fill([200, first.session, answers[0]!.body.refresh_token])
    )
    t.not(answers[0]!.body.access_token, answers[1]!.body.access_token)
    // 2. The access token of before confirms nothing; that of the successor does.
    t.equal((await me(first.access_token)).status, 200)
    t.equal((await refresh(first.refresh_token)).status, 200)
    t.equal((await me(answers[0]!.body.access_token)).status, 200)
    isProblem(t, await refresh(first.refresh_token), 400, 'INVALID_GRANT')
    // 3. Two hold it: everything is over.
    for (const { body } of answers) t.equal((await me(body.access_token)).status, 401)
    isProblem(t, await refresh(answers[0]!.body.refresh_token), 400, 'INVALID_GRANT')
  })

  t.test(`${store.driver}: a session belongs to the client it was given to`, async (t) => {
    const { origin, me, door, refresh } = await start(t, { clients: ['web', 'app'] })
    const login = (form: string) =>
      ask('POST', `${origin}/auth/login`, { form: `username=kesa&password=123${form}` })
    const claimsOf = (token: unknown) =>
      JSON.parse(Buffer.from(String(token).split('.')[1]!, 'base64url').toString()) as Record<string, unknown>
    // 1. Named in either spelling, or the first of the list.
    const [unnamed, snake, camel] = [
      await login(''),
      await login('&client_id=app'),
      await login('&clientId=app')
    ]
    t.same(
      [unnamed, snake, camel].map(({ body }) => claimsOf(body.access_token).client_id),
      ['web', 'app', 'app']
    )
    t.match(claimsOf(snake.body.access_token), { amr: ['pwd'], rg: 0, sid: snake.body.session })
    isProblem(t, await login('&client_id=other'), 400, 'BAD_REQUEST')
    isProblem(t, await login('&client_id=app&clientId=app'), 400, 'BAD_REQUEST')
    // 2. Its user sees which.
    const { sessions } = (await door('GET', '/auth/sessions', snake.body.access_token)).body
    const current = (sessions as { current: boolean }[]).find((session) => session.current)
    t.match(current, { client_id: 'app', amr: ['pwd'], id: snake.body.session })
    // 3. Another client gets nothing for its refresh token, and the session stays.
    const refreshAs = (client_id: string) =>
      ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: snake.body.refresh_token, client_id } })
    isProblem(t, await refreshAs('web'), 400, 'INVALID_GRANT')
    isProblem(t, await refreshAs('nobody'), 400, 'INVALID_GRANT')
    t.equal((await me(snake.body.access_token)).status, 200)
    const refreshed = await refreshAs('app')
    t.match(claimsOf(refreshed.body.access_token), { client_id: 'app', amr: ['pwd'], rg: 1 })
    t.equal((await refresh(refreshed.body.refresh_token)).status, 200, 'who says nothing is not asked')
  })

  t.test(`${store.driver}: whatever a caller brings along, signing in begins another session`, async (t) => {
    const { origin, login, me, refresh } = await start(t)
    // 1. One who plants an id of their own, or one they know to be alive.
    const { body: planted } = await login('tess', 'pässword')
    const brought = [
      { headers: { cookie: `sid=${planted.session}; session=${planted.session}` } },
      { headers: { 'x-session-id': String(planted.session) } },
      { token: String(planted.access_token) },
      { json: { username: 'kesa', password: '123', session: planted.session, sid: planted.session } },
      { json: { username: 'kesa', password: '123', refresh_token: planted.refresh_token } }
    ]
    const seen = new Set([planted.session])
    for (const extra of brought) {
      const json = { username: 'kesa', password: '123' }
      const { status, body } = await ask('POST', `${origin}/auth/login`, { json, ...extra })
      t.equal(status, 200)
      t.notOk(seen.has(body.session))
      seen.add(body.session)
      t.match((await me(body.access_token)).body, { user: 'kesa', session: body.session })
    }
    // 2. The planted one is what it was; a refresh keeps the id.
    t.match((await me(planted.access_token)).body, { user: 'tess', session: planted.session })
    const { body: again } = await refresh(planted.refresh_token)
    t.equal(again.session, planted.session)
    t.match((await me(again.access_token)).body, { session: planted.session })
  })
}
