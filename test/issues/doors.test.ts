import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const upstream = await httpUpstream(t, (_request, response) => response.end('hello'))
const { origin } = await startGateway(
  t,
  {
    auth: { access: '2s', users: { driver: 'file', path: 'users.json' } },
    services: { app: { nodes: [upstream.url] } },
    routes: [{ id: 'app', path: '/app', service: 'app' }]
  },
  { files: { 'users.json': await usersFile({ kesa: { password: '123' } }) } }
)

const send = async (door: string, type: string, body: string, token?: string) => {
  const response = await fetch(`${origin}/auth/${door}`, {
    method: 'POST',
    headers: { 'content-type': type, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body
  })
  return {
    status: response.status,
    body: (await response.json().catch(() => ({}))) as Record<string, string>
  }
}
const login = async () =>
  (await send('login', 'application/json', '{"username":"kesa","password":"123"}')).body as {
    access_token: string
    refresh_token: string
  }

t.test('a JSON body that has a field twice is refused, as a form is', async (t) => {
  for (const body of [
    '{"username":"other","username":"kesa","password":"123"}',
    '{"username":"kesa","password":"123","password":"124"}',
    '{"username":"kesa","user\\u006eame":"kesa","password":"123"}'
  ]) {
    t.match(await send('login', 'application/json', body), { status: 400, body: { code: 'BAD_REQUEST' } })
  }
  const form = 'username=kesa&username=other&password=123'
  t.match(await send('login', 'application/x-www-form-urlencoded', form), { status: 400 })
})

t.test('a body of a type that pages of other origins may send unasked is refused for its type', async (t) => {
  const body = '{"username":"kesa","password":"123"}'
  t.match(await send('login', 'text/plain', body), { status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE' } })
  t.match(await send('login', 'APPLICATION/JSON; charset=utf-8', body), { status: 200 })
})

t.test('signing out needs no body, also where the client names JSON', async (t) => {
  const { access_token: token } = await login()
  t.match(await send('logout', 'application/json', '', token), { status: 204 })
  t.match(await send('login', 'application/json', ''), { status: 400, body: { code: 'BAD_REQUEST' } })
})

t.test('an access token ends at its exp, and its refresh token beside it still signs out', async (t) => {
  const { access_token: token, refresh_token: refresh } = await login()
  t.match(await ask('GET', `${origin}/app`, { token }), { status: 200 })
  await sleep(2100)
  t.match(await ask('GET', `${origin}/app`, { token }), { status: 401 })
  t.match(await send('logout', 'application/json', '{}', token), { status: 401 })
  const json = JSON.stringify({ refresh_token: refresh })
  t.match(await send('logout', 'application/json', json, token), { status: 204 })
  t.match(await send('refresh', 'application/json', json), { status: 400, body: { code: 'INVALID_GRANT' } })
})

t.test('public keys that a cache holds already are not sent again', async (t) => {
  const url = `${origin}/.well-known/jwks.json`
  const etag = (await ask('GET', url)).headers.get('etag')!
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const { status } = await ask('GET', url, { headers: { 'if-none-match': known } })
    t.equal(status, 304, known)
  }
  const { status } = await ask('GET', url, { headers: { 'if-none-match': '"other"' } })
  t.equal(status, 200)
})
