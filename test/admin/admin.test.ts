import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'

async function start(t: Test, config: Record<string, unknown> = {}) {
  const upstream = await httpUpstream(t, (_request, response) => response.end('hello'))
  const started = await startGateway(t, {
    services: { hello: { nodes: [{ url: upstream.url, weight: 3 }] } },
    routes: [{ id: 'open', path: '/open/*', service: 'hello', auth: 'none' }],
    ...config
  })
  const token = readFileSync(join(started.directory, '.toll/admin-token'), 'utf8').trim()
  const ask = (path: string, bearer: string | undefined = token, method = 'GET') =>
    request(started.admin + path, {
      method: method as 'GET',
      headers: bearer === '' ? {} : { authorization: `Bearer ${bearer}` }
    })
  return { ...started, upstream, token, ask }
}

t.test('the admin token is made once, for the owner of the file alone', async (t) => {
  const { directory, token } = await start(t)
  t.match(token, /^[\w-]{43}$/)
  t.equal(statSync(join(directory, '.toll/admin-token')).mode & 0o777, 0o600)
})

t.test('everything under /admin needs a token, also from loopback; health and metrics do not', async (t) => {
  const { ask } = await start(t)
  for (const path of ['/admin/config', '/admin/routes', '/admin/services', '/admin/online', '/admin/none']) {
    const missing = await ask(path, '')
    t.equal(missing.statusCode, 401, path)
    t.equal(missing.headers['www-authenticate'], 'Bearer realm="admin"')
    const wrong = await ask(path, 'x'.repeat(43))
    t.equal(wrong.statusCode, 401, path)
    t.match(wrong.headers['www-authenticate'], 'error="invalid_token"')
  }
  for (const path of ['/livez', '/readyz', '/metrics']) t.equal((await ask(path, '')).statusCode, 200, path)
})

t.test('routes, services and nodes are listed as they serve', async (t) => {
  const { ask, upstream } = await start(t)
  const { routes } = (await (await ask('/admin/routes')).body.json()) as { routes: object[] }
  t.match(routes, [{ id: 'open', path: '/open/*', service: 'hello', auth: 'none' }])
  const node = { url: upstream.url, weight: 3, state: 'up', health: 'well', inFlight: 0, source: 'config' }
  t.match(await (await ask('/admin/services')).body.json(), {
    services: [{ name: 'hello', nodes: [{ id: /^hello-[0-9a-f]{8}$/, ...node }] }]
  })
  t.equal((await ask('/admin/services/hello/nodes')).statusCode, 200)
  const unknown = await ask('/admin/services/none/nodes')
  t.equal(unknown.statusCode, 404)
  t.match(await unknown.body.json(), { code: 'NOT_FOUND', detail: 'There is no service "none".' })
})

t.test('the config is shown as it was written, secrets masked, with its revision as ETag', async (t) => {
  process.env.TOLL_TEST_TOKEN = 'a-token-that-nobody-may-see'
  t.teardown(() => {
    delete process.env.TOLL_TEST_TOKEN
  })
  const { admin, gateway } = await startGateway(t, { admin: { token: '${TOLL_TEST_TOKEN}' } })
  const answer = await request(`${admin}/admin/config`, {
    headers: { authorization: 'Bearer a-token-that-nobody-may-see' }
  })
  t.equal(answer.statusCode, 200)
  t.match(answer.headers.etag, new RegExp(`^"${gateway.config.revision}\\.[0-9a-f]{8}"$`))
  const text = await answer.body.text()
  t.notMatch(text, 'a-token-that-nobody-may-see')
})

t.test('a reload is asked for, and a refused one says why', async (t) => {
  const { ask, path } = await start(t)
  const same = await ask('/admin/config/reload', undefined, 'POST')
  t.equal(same.statusCode, 200)
  t.match(await same.body.json(), { outcome: 'unchanged' })
  const { writeFileSync } = await import('node:fs')
  writeFileSync(path, '{ "routes": 1 }')
  const refused = await ask('/admin/config/reload', undefined, 'POST')
  t.equal(refused.statusCode, 400)
  t.match(await refused.body.json(), {
    code: 'BAD_REQUEST',
    detail: /refused.*\n.*gateway\.config\.json:1:13/
  })
})

t.test('the admin API has a door limit', async (t) => {
  const { ask } = await start(t, { doors: { admin: { max: 3, window: '1m' } } })
  const codes: number[] = []
  for (let index = 0; index < 5; index += 1) codes.push((await ask('/admin/routes')).statusCode)
  t.same(codes, [200, 200, 200, 429, 429])
  t.equal((await ask('/readyz')).statusCode, 200)
})

t.test('a store that does not answer is told, and leaves the gateway ready', async (t) => {
  const { ask } = await start(t)
  t.match(await (await ask('/readyz?verbose')).body.json(), {
    ready: true,
    draining: false,
    store: { driver: 'embedded', up: true },
    config: { outcome: 'good' }
  })
})
