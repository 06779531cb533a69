import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream } from '../support/upstream.ts'

const validate = {
  params: { properties: { id: { type: 'integer', minimum: 1 } } },
  query: {
    additionalProperties: false,
    properties: {
      page: { type: 'integer', maximum: 10 },
      all: { type: 'boolean' },
      tag: { type: 'array', items: { type: 'integer' }, maxItems: 2 },
      name: { type: 'string', maxLength: 3 }
    }
  },
  headers: { required: ['x-tenant'], properties: { 'x-tenant': { type: 'string', pattern: '^[a-z]+$' } } }
}

const start = async (t: Parameters<typeof startGateway>[0]) => {
  const upstream = await httpUpstream(t, (_request, response) => response.end())
  const gateway = await startGateway(
    t,
    configFor([upstream.url], { route: { path: '/users/:id', validate } })
  )
  const get = (path: string) => ask('GET', `${gateway.origin}${path}`, { headers: { 'x-tenant': 'a' } })
  return { ...gateway, upstream, get }
}

t.test('what fits goes on as it was sent, numbers and all', async (t) => {
  const { get, upstream } = await start(t)
  for (const path of [
    '/users/7?page=1e0&all=true&tag=1&tag=2&name=%61+b',
    '/users/10?tag=5',
    '/users/1?&&page=10'
  ]) {
    t.equal((await get(path)).status, 200, path)
    t.equal(upstream.requests.at(-1)!.url, path)
  }
})

t.test('what does not fit is a 400 that names the parameter and not its value', async (t) => {
  const { get, upstream } = await start(t)
  for (const [path, part, parameter] of [
    ['/users/0', 'params', 'id'],
    ['/users/x', 'params', 'id'],
    ['/users/1;x', 'params', 'id'],
    ['/users/0x10', 'params', 'id'],
    ['/users/1?page=11', 'query', 'page'],
    ['/users/1?page=0x1', 'query', 'page'],
    ['/users/1?page=%201', 'query', 'page'],
    ['/users/1?page=', 'query', 'page'],
    ['/users/1?page=1&page=1', 'query', 'page'],
    ['/users/1?page=1&%70age=99', 'query', 'page'],
    ['/users/1?all=yes', 'query', 'all'],
    ['/users/1?tag=1&tag=x', 'query', 'tag'],
    ['/users/1?tag=1&tag=2&tag=3', 'query', 'tag'],
    ['/users/1?name=%2561%2562', 'query', 'name'],
    ['/users/1?other=1', 'query', 'other'],
    ['/users/1?__proto__=1', 'query', '__proto__'],
    ['/users/1?page=%ff', 'query', '']
  ] as const) {
    const { status, body } = await get(path)
    t.equal(status, 400, path)
    t.equal(body.code, 'VALIDATION_FAILED', path)
    t.match(body.errors, [{ in: part, parameter }], path)
  }
  t.equal(upstream.requests.length, 0)
})

t.test('a header that comes twice is two values, of which a service may read either', async (t) => {
  const { origin } = await start(t)
  const send = (headers: string) =>
    exchange(origin, `GET /users/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`)
  t.match(await send('X-Tenant: a\r\n'), /^HTTP\/1\.1 200/)
  t.match(await send(''), /^HTTP\/1\.1 400[\s\S]*"parameter":"x-tenant","message":"is missing"/)
  t.match(await send('X-Tenant: a\r\nX-Tenant: A\r\n'), /^HTTP\/1\.1 400/)
})
