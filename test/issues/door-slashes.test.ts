import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

t.test('a door with a slash behind is the door, also next to a route that takes everything', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end('hello'))
  const { origin } = await startGateway(
    t,
    {
      auth: { users: { driver: 'file', path: 'users.json' } },
      services: { app: { nodes: [upstream.url] } },
      routes: [{ id: 'all', path: '/*', service: 'app', auth: 'none' }]
    },
    { files: { 'users.json': await usersFile({ kesa: { password: '123' } }) } }
  )
  const headers = { 'content-type': 'application/json' }
  const body = '{"username":"kesa","password":"123"}'
  for (const path of ['/auth/login', '/auth/login/', '/auth//login/']) {
    const answer = await fetch(origin + path, { method: 'POST', headers, body })
    t.equal(answer.status, 200, path)
    t.match(await answer.json(), { token_type: 'Bearer' }, path)
  }
  t.equal((await fetch(`${origin}/auth/me/`)).status, 401)
  t.equal(upstream.requests.length, 0, 'no password went to a service')
  t.equal((await fetch(`${origin}/auth/other`)).status, 200)
  t.equal(upstream.requests.length, 1)
})

t.test('a Proxy header goes to no service', async (t) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end('hello'))
  const { origin } = await startGateway(t, {
    services: { app: { nodes: [upstream.url] } },
    routes: [{ id: 'all', path: '/*', service: 'app', auth: 'none' }]
  })
  await fetch(origin, { headers: { proxy: 'http://evil.example', 'x-kept': 'yes' } })
  t.equal(upstream.requests[0]!.headers.proxy, undefined)
  t.equal(upstream.requests[0]!.headers['x-kept'], 'yes')
})
