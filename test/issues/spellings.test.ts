import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream } from '../support/upstream.ts'

const ask = (path: string, extra = '') =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\n${extra}Connection: close\r\n\r\n`

t.test('an escape that is escaped itself is refused however it is spelled', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end('ok'))
  const { origin } = await startGateway(t, configFor([up.url]))
  for (const path of [
    '/a%252fb',
    '/a%25%32%66b',
    '/a%252%66b',
    '/a%25%35%63b',
    '/%25%32%65%25%32%65/b',
    '/..%253b/b'
  ]) {
    t.match(await exchange(origin, ask(path)), /^HTTP\/1\.1 400 [\s\S]*AMBIGUOUS_PATH/, path)
  }
  t.equal(up.requests.length, 0)
  t.match(await exchange(origin, ask('/a%2520b%25%32%30c')), /^HTTP\/1\.1 200 /)
  t.equal(up.requests[0]?.url, '/a%2520b%2520c')
})

t.test('a header that a route looks for cannot be sent past it in another spelling', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end('ok'))
  const config = configFor([up.url])
  const guarded = { id: 'guarded', path: '/*', service: 'up', headers: { 'x-mode': 'admin' } }
  const { origin } = await startGateway(t, { ...config, routes: [...(config.routes as object[]), guarded] })
  for (const header of [
    'X-Mode: admin',
    'X-Mode: x\r\nX-Mode: admin',
    'X-Mode: admin\r\nX-Mode: x',
    'X-Mode: admin, x'
  ]) {
    t.match(await exchange(origin, ask('/', `${header}\r\n`)), /^HTTP\/1\.1 401 /, header)
  }
  t.equal(up.requests.length, 0)
  t.match(
    await exchange(origin, ask('/', 'X_Mode: admin\r\nX.Mode: admin\r\nX_Other: y\r\n')),
    /^HTTP\/1\.1 200 /
  )
  t.notOk(up.requests[0]?.rawHeaders.includes('admin'))
  t.ok(up.requests[0]?.rawHeaders.includes('X_Other'))
})

t.test('no header changes the method behind routes that tell methods apart', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end('ok'))
  const override = 'X-HTTP-Method-Override: DELETE\r\nX_HTTP_Method: DELETE\r\nX-Method-Override: DELETE\r\n'
  const config = configFor([up.url])
  const { origin, reconfigure } = await startGateway(t, config)
  await exchange(origin, ask('/', override))
  t.equal(up.requests[0]?.headers['x-http-method-override'], 'DELETE')
  const remove = { id: 'remove', path: '/*', methods: ['DELETE'], service: 'up' }
  await reconfigure({ ...config, routes: [...(config.routes as object[]), remove] })
  await exchange(origin, ask('/', override))
  t.notOk(up.requests[1]?.rawHeaders.includes('DELETE'))
})

t.test('the host of a request is not overruled by a header', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end('ok'))
  const { origin } = await startGateway(t, configFor([up.url]))
  await exchange(origin, ask('/', 'X-Host: evil\r\nX_Http_Host_Override: evil\r\nX-Forwarded: host=evil\r\n'))
  t.equal(up.requests.length, 1)
  t.notMatch(up.requests[0]?.rawHeaders.join(), /evil/)
})
