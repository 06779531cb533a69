import t, { type Test } from 'tap'
import { adminCalls, lookers } from '../support/admin-calls.ts'
import { ask } from '../support/client.ts'
import { refusalOf } from '../support/config.ts'
import { startGateway } from '../support/gateway.ts'
import { usersFile } from '../support/users.ts'

const operate = 'operate-operate-operate-operate'
const read = 'read-read-read-read-read-read'

async function start(t: Test) {
  const users = await usersFile({
    anna: { password: 'a password', scopes: ['admin'] },
    rita: { password: 'a password', scopes: ['admin:read'] },
    nora: { password: 'a password', scopes: ['admin:write'] }
  })
  const started = await startGateway(
    t,
    {
      admin: { token: operate, readToken: read },
      auth: {
        issuer: 'https://gw.example',
        audience: 'api',
        users: { driver: 'file', path: 'users.json' }
      },
      services: { hello: { nodes: ['http://127.0.0.1:9'] } },
      routes: [{ id: 'open', path: '/open/*', service: 'hello', auth: 'none', limit: { qps: 9 } }],
      rules: [{ id: 'all', scope: 'any', resource: 'service:*:/*', access: 'granted', priority: 1 }]
    },
    { files: { 'users.json': users } }
  )
  const signIn = async (username: string): Promise<string> => {
    const { body } = await ask('POST', `${started.origin}/auth/login`, {
      json: { username, password: 'a password' }
    })
    return String(body.access_token)
  }
  return { ...started, signIn }
}

t.test('whoever may only look changes nothing, by any call', async (t) => {
  const { admin, signIn } = await start(t)
  const calls = adminCalls()
  t.ok(calls.length > 25)
  const before = (await ask('GET', `${admin}/admin/config`, { token: operate })).headers.get('etag')
  for (const [who, token] of Object.entries({ read, rita: await signIn('rita') })) {
    for (const { method, url } of calls) {
      const given = method === 'GET' ? { token } : { token, json: {} }
      const { status, body, headers } = await ask(method, admin + url, given)
      if (method === 'GET' || lookers.has(`${method} ${url}`)) {
        t.not(status, 401, `${who} ${method} ${url}`)
        t.not(status, 403, `${who} ${method} ${url}`)
        continue
      }
      t.equal(status, 403, `${who} ${method} ${url}`)
      t.match(body, { code: 'FORBIDDEN', detail: /changes something/ })
      t.match(headers.get('www-authenticate'), 'error="insufficient_scope", scope="admin"')
    }
    t.equal((await ask('DELETE', `${admin}/admin/no-such-call`, { token })).status, 403, 'nor by one to come')
  }
  const after = (await ask('GET', `${admin}/admin/config`, { token: operate })).headers.get('etag')
  t.equal(after, before)
})

t.test('the scope "admin" operates, and no scope that only sounds like it does anything', async (t) => {
  const { admin, signIn } = await start(t)
  const anna = await signIn('anna')
  t.equal((await ask('POST', `${admin}/admin/config/reload`, { token: anna })).status, 200)
  const nora = await ask('GET', `${admin}/admin/routes`, { token: await signIn('nora') })
  t.equal(nora.status, 403)
  t.match(nora.body, { detail: /scope "admin" or "admin:read"/ })
  t.equal((await ask('GET', `${admin}/admin/routes`, { token: `${read}x` })).status, 401)
})

t.test('a read token that is the admin token is refused, with its place', async (t) => {
  const error = await refusalOf(startGateway(t, { admin: { token: operate, readToken: operate } }))
  t.match(error.mistakes, [{ pointer: '/admin/readToken', sentence: /admin\.token is the same/ }])
})
