import t from 'tap'
import { cookiesSet } from '../support/browser.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { exchange, httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const files = {
  'users.json': await usersFile({
    kesa: { password: '123' },
    off: { password: '123', disabled: true },
    alice: { password: 'b' },
    Alice: { password: 'A' },
    José: { password: '123' }
  })
}
const upstream = await httpUpstream(t, (_request, response) => response.end('served'))
const { origin, log } = await startGateway(
  t,
  {
    auth: {
      users: { driver: 'file', path: 'users.json' },
      lockout: { failures: 0, perUser: 0, perAddress: 0 },
      cookie: {}
    },
    services: { app: { nodes: [upstream.url] } },
    routes: [{ id: 'all', path: '/*', service: 'app', auth: 'none' }]
  },
  { files }
)
const json = 'application/json'
const form = 'application/x-www-form-urlencoded'
const good = '{"username":"kesa","password":"123"}'
const { host } = new URL(origin)

const send = (method: string, path: string, body: string | Buffer, type = json, more = '') =>
  exchange(
    origin,
    Buffer.concat([
      Buffer.from(
        `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Type: ${type}\r\n`
      ),
      Buffer.from(`Content-Length: ${Buffer.byteLength(body)}\r\n${more}\r\n`),
      Buffer.from(body)
    ]).toString('latin1')
  )

t.test('bodies that another reader may take for something else sign nobody in', async (t) => {
  const named = (name: string, password = '123') => JSON.stringify({ username: name, password })
  const rows: [name: string, status: number, body: string | Buffer, type?: string][] = [
    ['control', 200, good],
    ['control, a form', 200, 'username=kesa&password=123', form],
    ['nothing', 400, ''],
    ['null', 400, 'null'],
    ['a list', 400, '["kesa","123"]'],
    ['something behind', 400, `${good}{}`],
    ['a mark in front', 400, Buffer.from(`\ufeff${good}`)],
    ['UTF-16', 400, Buffer.from(good, 'utf16le'), `${json}; charset=utf-16`],
    ['broken UTF-8', 400, Buffer.from(good.replace('kesa', '\xff'), 'latin1')],
    ['a field twice', 400, '{"username":"off","username":"kesa","password":"123"}'],
    ['the same in disguise', 400, '{"username":"off","user\\u006eame":"kesa","password":"123"}'],
    ['an object for a name', 400, '{"username":{"$gt":""},"password":{"$gt":""}}'],
    ['a list for a name', 400, '{"username":["kesa"],"password":["123"]}'],
    ['a number for a password', 400, '{"username":"kesa","password":123}'],
    ['a prototype', 400, `{"__proto__":${good}}`],
    ['deep', 400, `{"username":${'['.repeat(4000)}${']'.repeat(4000)}}`],
    ['a form with a field twice', 400, 'username=off&user%6eame=kesa&password=123', form],
    ['a form with lists', 400, 'username[]=kesa&password[]=123', form],
    ['a form with semicolons', 400, 'username=kesa;password=123', form],
    ['text', 415, good, 'text/plain'],
    ['nearly JSON', 415, good, 'application/jsonx'],
    ['two types in one', 415, good, `text/plain, ${json}`],
    ['more than a body may be', 413, named('kesa', 'x'.repeat(9000))],
    ['a password of 1025 bytes', 401, named('kesa', 'x'.repeat(1025))],
    ['NUL behind the name', 401, named('kesa\0')],
    ['NUL behind the password', 401, named('kesa', '123\0')],
    ['half a character', 400, '{"username":"kesa\\ud800","password":"123"}'],
    ['capitals', 401, named('KESA')],
    ['full width', 401, named('ｋｅｓａ')],
    ['a blank behind', 401, named('kesa ')],
    ['nothing to see behind', 401, named('kesa\u200b')],
    ['a look-alike', 401, named('kes\u0430')],
    ['a member of every object', 401, named('__proto__')],
    ['no name', 401, named('')],
    ["alice with Alice's password", 401, named('alice', 'A')],
    ['control, Alice', 200, named('Alice', 'A')],
    ['control, an accent by itself', 200, Buffer.from(named('Jose\u0301'))],
    ['without the accent', 401, named('Jose')]
  ]
  for (const [name, status, body, type] of rows) {
    const answer = await send('POST', '/auth/login', body, type)
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), name)
    if (status !== 200) t.notMatch(answer, /set-cookie|eyJ|tlr1\./i, name)
  }
  t.equal(upstream.requests.length, 0)
})

t.test('no method and no spelling of its path carries a sign-in past the door', async (t) => {
  for (const path of ['login', 'refresh', 'logout', 'logout-all', 'login/']) {
    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'QUERY', 'LOCK', 'PURGE']) {
      const answer = await send(method, `/auth/${path}`, good, json, 'X-HTTP-Method-Override: POST\r\n')
      t.match(answer, /^HTTP\/1.1 (?:4\d\d|501) /, `${method} ${path}`)
      t.notMatch(answer, /set-cookie|eyJ|tlr1\./i)
    }
  }
  for (const path of [
    '/auth/login/',
    '//auth/login',
    '/auth//login',
    '/auth/%6cogin',
    '/auth%2flogin',
    '/auth/./login',
    '/x/../auth/login',
    '/auth/login;x=1',
    '/auth/login%00',
    '/auth\\login',
    `${origin}/auth/login`
  ]) {
    await send('POST', path, good)
    t.equal(upstream.requests.length, 0, `${path} is the door or nothing`)
  }
  t.match(await send('POST', '/other', good), /^HTTP\/1.1 200 /)
  t.equal(upstream.requests.length, 1, 'control')
})

t.test('nothing that is brought along becomes the session, and nobody is sent elsewhere', async (t) => {
  const login = (headers: Record<string, string> = {}, more = {}, path = '') =>
    ask('POST', `${origin}/auth/login${path}`, {
      json: { username: 'kesa', password: '123', ...more },
      headers: { 'sec-fetch-site': 'same-origin', ...headers }
    })
  const { body: tokens } = await login()
  const cookies = await login({}, { cookie: true })
  const sent = cookiesSet(cookies)
    .map((text) => text.split(';')[0])
    .join('; ')
  const known = [tokens.session, cookies.body.session]
  const rows: [name: string, headers: Record<string, string>, more?: object, path?: string][] = [
    ['cookies', { cookie: sent }],
    ['an access token', { authorization: `Bearer ${tokens.access_token}` }],
    ['a session in a header', { 'x-session-id': String(tokens.session) }],
    ['a session in the body', {}, { session: tokens.session, sid: tokens.session }],
    ['a refresh token', {}, { refresh_token: tokens.refresh_token }],
    ['an address', {}, { redirect: 'https://evil.example' }, '?next=//evil.example']
  ]
  for (const [name, headers, more, path] of rows) {
    for (const cookie of [false, true]) {
      const answer = await login(headers, { ...more, cookie }, path)
      t.equal(answer.status, 200, name)
      t.notOk(known.includes(answer.body.session), name)
      t.not(answer.body.refresh_token, tokens.refresh_token)
      t.equal(answer.headers.get('cache-control'), 'no-store')
      t.notOk(answer.headers.has('location'))
      known.push(answer.body.session)
    }
  }
  t.notMatch(JSON.stringify(log()), /eyJ|tl[rd]1\.|"123"/)
})
