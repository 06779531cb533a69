import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { exchange, httpUpstream } from '../support/upstream.ts'

/** Whatever is planted here, the explanation has to name. */
const up = await httpUpstream(t, (_request, response) => response.end('one'))
const second = await httpUpstream(t, (_request, response) => response.end('two'))
const service = 'shop'
const open = { service, auth: 'none' }
const token = 'an-admin-token-of-some-length'
const gateway = await startGateway(t, {
  admin: { token },
  guard: {
    deny: ['203.0.113.0/24'],
    trustedProxies: ['127.0.0.1'],
    headers: { require: ['user-agent'], forbid: [{ name: 'x-original-url' }] },
    paths: { deny: ['\\.php$'] }
  },
  services: {
    shop: { nodes: [{ url: up.url, id: 'only' }] },
    hashed: {
      nodes: [
        { url: up.url, id: 'one' },
        { url: second.url, id: 'two' }
      ],
      balance: { by: 'header:x-cart' }
    }
  },
  routes: [
    { id: 'by-host', path: '/items/*', hosts: ['shop.example'], ...open },
    { id: 'below', path: '/items/*', hosts: ['*.shop.example'], ...open },
    { id: 'item', path: '/items/:id', methods: ['GET'], ...open },
    { id: 'special', path: '/items/special', methods: ['GET'], ...open },
    { id: 'beta', path: '/items/:id', methods: ['GET'], headers: { 'x-beta': 'on' }, ...open },
    { id: 'all-items', path: '/items/*', ...open },
    { id: 'search', path: '/search', query: { q: '*' }, ...open },
    { id: 'write', path: '/write', methods: ['POST', 'PUT'], ...open },
    { id: 'private', path: '/private', service, auth: { scopes: ['read'] } },
    { id: 'office', path: '/office', clients: { allow: ['198.51.100.0/24'] }, ...open },
    { id: 'checked', path: '/checked', validate: { query: { type: 'object', required: ['page'] } }, ...open },
    { id: 'carts', path: '/carts', service: 'hashed', auth: 'none' }
  ],
  auth: {}
})

interface Asked {
  readonly method?: string
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly address?: string
}

async function explained({ method = 'GET', url, headers, address }: Asked) {
  const agent = { 'user-agent': 'curl/8', ...headers }
  const json = { method, url, headers: agent, ...(address !== undefined && { address }) }
  const { status, body } = await ask('POST', `${gateway.admin}/admin/explain`, {
    token,
    json
  })
  t.equal(status, 200)
  return body
}

const lost = (id: string, why: RegExp) => ({ candidates: [{ id, outcome: 'lost', why }] })
const taken = (id: string) => ({ allowed: true, route: { id } })

/** What was planted, and what has to be said of it. */
const cases: readonly (readonly [string, Asked, object])[] = [
  ['no route of that method', { method: 'GET', url: '/write' }, lost('write', /takes POST, PUT, not GET/)],
  ['a query parameter is missing', { url: '/search' }, lost('search', /query parameters q$/)],
  ['a slip in the path', { url: '/serach?q=1' }, lost('search', /its path is \/search$/)],
  ['a capital letter', { url: '/Write', method: 'POST' }, lost('write', /its path is \/write$/)],
  ['a segment too many', { url: '/write/x', method: 'POST' }, lost('write', /its path is \/write$/)],
  ['the literal takes it from the parameter', { url: '/items/special' }, taken('special')],
  [
    'the more exact host takes it',
    { url: 'http://shop.example/items/1' },
    { ...taken('by-host'), candidates: [{ id: 'by-host' }, { why: /"by-host" names the host more exactly/ }] }
  ],
  ['the wildcard host takes it', { url: 'http://eu.shop.example/items/1' }, taken('below')],
  ['a header sends it elsewhere', { url: '/items/7', headers: { 'x-beta': 'on' } }, taken('beta')],
  ['a header has another value', { url: '/items/7', headers: { 'x-beta': 'off' } }, taken('item')],
  ['no token', { url: '/private' }, { status: 401, steps: [{ step: 'guard' }, { outcome: 'refuses' }] }],
  [
    'a token that is none',
    { url: '/private', headers: { authorization: 'Bearer x' } },
    { status: 401, reason: 'malformed' }
  ],
  [
    'the client is denied',
    { url: '/items/7', address: '203.0.113.9' },
    { status: 403, reason: 'denied', steps: [{ step: 'guard', facts: { client: '203.0.113.9' } }] }
  ],
  [
    'a trusted proxy says who it is',
    { url: '/items/7', headers: { 'x-forwarded-for': '203.0.113.9' } },
    { status: 403, reason: 'denied', steps: [{ facts: { client: '203.0.113.9', by: /trusted proxy/ } }] }
  ],
  [
    'nobody trusts that hop',
    { url: '/items/7', address: '198.51.100.1', headers: { 'x-forwarded-for': '203.0.113.9' } },
    { ...taken('item'), steps: [{ facts: { client: '198.51.100.1' } }] }
  ],
  ['a path that nobody may ask for', { url: '/items/x.php' }, { status: 403, reason: 'guard_path' }],
  [
    'a forbidden header',
    { url: '/items/7', headers: { 'x-original-url': '/' } },
    { status: 400, reason: 'guard_forbidden' }
  ],
  ['no user agent', { url: '/items/7', headers: { 'user-agent': '' } }, { reason: 'guard_required' }],
  ['another address', { url: '/office', address: '192.0.2.1' }, { status: 403, reason: 'client_address' }],
  ['a dot segment', { url: '/items/%2e%2e/private' }, { status: 400, code: 'AMBIGUOUS_PATH' }]
]

for (const [planted, asked, named] of cases) {
  t.test(planted, async (t) => {
    t.match(await explained(asked), named)
  })
}

t.test('a ban is named with its end, and gone with it', async (t) => {
  const asked = { url: '/items/7', address: '192.0.2.77' }
  const json = { ip: '192.0.2.77', ttl: '1h', reason: 'planted' }
  t.equal((await ask('POST', `${gateway.admin}/admin/bans`, { token, json })).status, 201)
  t.match(await explained(asked), {
    code: 'BANNED',
    reason: 'banned',
    steps: [{ step: 'guard', outcome: 'refuses', facts: { banned: '192.0.2.77', until: /^20/ } }]
  })
  await ask('DELETE', `${gateway.admin}/admin/bans/192.0.2.77`, { token })
  t.match(await explained(asked), taken('item'))
})

t.test('why the others come later', async (t) => {
  const { candidates } = await explained({ url: '/items/1234' })
  const byId = Object.fromEntries(
    (candidates as { id: string; why: string }[]).map((one) => [one.id, one.why])
  )
  t.match(byId, {
    item: 'path, method',
    'all-items': /a whole path comes before a wildcard|longer path/,
    beta: /headers x-beta/,
    'by-host': /for the host shop\.example, not/
  })
})

t.test('the node is the one that the next request gets, and asking does not change it', async (t) => {
  const origin = gateway.origin
  const cart = 'a'
  const ask = () => explained({ url: '/carts', headers: { 'x-cart': cart } })
  const { node } = (await ask()) as { node: { strategy: string; next: string; nodes: object } }
  t.match(node, { strategy: 'hash', nodes: { one: 'ready', two: 'ready' } })
  t.same(((await ask()) as { node: object }).node, node)
  const request = `GET /carts HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nX-Cart: ${cart}\r\nConnection: close\r\n\r\n`
  const answer = String(await exchange(origin, request))
  t.equal(answer.slice(-3), node.next)
})
