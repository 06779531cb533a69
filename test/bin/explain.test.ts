import t from 'tap'
import { runToll } from '../support/running.ts'

const config = JSON.stringify({
  services: { shop: { nodes: ['http://127.0.0.1:9'] } },
  routes: [
    { id: 'mine', path: '/mine/:id', hosts: ['shop.example'], service: 'shop' },
    { id: 'beta', path: '/items/*', headers: { 'x-beta': '*' }, service: 'shop', auth: 'none' },
    {
      id: 'items',
      path: '/items/*',
      methods: ['GET'],
      service: 'shop',
      rewrite: { stripPrefix: '/items' },
      auth: { scopes: ['read'] },
      limit: { qps: 5 }
    }
  ],
  auth: {}
})

const explain = async (args: readonly string[]) => {
  const { ended, output } = runToll(t, ['explain', '--static', ...args, '--json'], {
    'gateway.config.json': config
  })
  t.equal(await ended, 0, output.err)
  return JSON.parse(output.out) as Record<string, unknown>
}

t.test('toll explain names the route, what it asks for, and what the service sees', async (t) => {
  t.match(await explain(['GET', '/items//7?x=1']), {
    path: '/items/7',
    route: 'items',
    upstreamPath: '/7',
    auth: { mode: 'required', session: 'revocable', scopes: ['read'] },
    limit: { qps: 5, by: 'subject' }
  })
  t.match(await explain(['POST', '/items/7', '-H', 'X-Beta: yes']), { route: 'beta', auth: 'none' })
  t.match(await explain(['get', 'http://shop.example/mine/%7e']), { path: '/mine/~', route: 'mine' })
})

t.test('toll explain says that no gateway was asked', async (t) => {
  const files = { 'gateway.config.json': config }
  const env = { TOLL_ADMIN_URL: 'http://127.0.0.1:1', TOLL_ADMIN_TOKEN: 'any' }
  const plain = runToll(t, ['explain', 'GET', '/items/7'], files, env)
  t.equal(await plain.ended, 0)
  t.match(plain.output.out, /^route +items$/m)
  t.match(plain.output.err, /^What the config says, since no gateway answers on http:\/\/127\.0\.0\.1:1;/)
  const live = runToll(t, ['explain', '--live', 'GET', '/items/7'], files, env)
  t.equal(await live.ended, 1)
  t.match(live.output, { out: '', err: /no gateway answers/ })
})

t.test('toll explain says why a request takes no route', async (t) => {
  t.match(await explain(['POST', '/items/7']), { status: 405, code: 'METHOD_NOT_ALLOWED' })
  t.match(await explain(['GET', 'http://other.example/mine/1']), { status: 404, code: 'ROUTE_NOT_FOUND' })
  t.match(await explain(['GET', '/items/%2e%2e/x']), { status: 400, code: 'AMBIGUOUS_PATH' })
  t.match(await explain(['GET', '/auth/me']), { door: '/auth/me' })
})
