import t from 'tap'
import { compileTable, type Table } from '../../routes/table/compile.ts'
import type { RouteOptions } from '../../routes/table/slice.ts'
import { type Asked, routed, routeOf, tableOfPaths } from '../support/table.ts'

const pathOf = (table: Table, url: string, asked?: Asked): unknown => {
  const found = routed(table, url, asked)
  return typeof found === 'object' ? found.path : found
}

const idOf = (table: Table, url: string, asked?: Asked): unknown => {
  const found = routed(table, url, asked)
  return typeof found === 'object' ? found.id : found
}

const tableOf = (...routes: (Partial<RouteOptions> & { id: string; path: string })[]): Table =>
  compileTable(routes.map(routeOf))

t.test('literal before parameter before wildcard before regex, whatever the order in the file', (t) => {
  const paths = ['~^/a/.+$', '/*', '/a/*', '/a/:id', '/a/b', '/:x/b', '/a/:id/c', '/a/b/*', '/:x/:y/:z']
  for (const order of [paths, [...paths].reverse()]) {
    const table = tableOfPaths(...order)
    const expected = {
      '/a/b': '/a/b',
      '/a/c': '/a/:id',
      '/a/c/c': '/a/:id/c',
      '/a/c/d': '/a/*',
      '/a/b/c': '/a/b/*',
      '/a': '/a/*',
      '/x/b': '/:x/b',
      '/x/y/z': '/:x/:y/:z',
      '/x/y': '/*',
      '/': '/*'
    }
    for (const [url, path] of Object.entries(expected)) t.equal(pathOf(table, url), path, url)
  }
  t.end()
})

t.test('comes back from a dead end', (t) => {
  const table = tableOfPaths('/a/b/c', '/a/:x/d', '/:x/b/e', '/*')
  t.equal(pathOf(table, '/a/b/d'), '/a/:x/d')
  t.equal(pathOf(table, '/a/b/e'), '/:x/b/e')
  t.equal(pathOf(table, '/a/b/f'), '/*')
  t.end()
})

t.test('a wildcard takes zero or more segments, a parameter exactly one', (t) => {
  const table = tableOfPaths('/orders/*', '/users/:id')
  for (const url of ['/orders', '/orders/', '/orders/1', '/orders/1/2/']) {
    t.equal(pathOf(table, url), '/orders/*', url)
  }
  t.equal(pathOf(table, '/ordersx'), 404)
  t.equal(pathOf(table, '/users'), 404)
  t.equal(pathOf(table, '/users/'), 404)
  t.equal(pathOf(table, '/users/7'), '/users/:id')
  t.equal(pathOf(table, '/users/7/8'), 404)
  t.equal(pathOf(table, '/'), 404)
  t.end()
})

t.test('a slash at the end reaches the same route, unless both are there', (t) => {
  const one = tableOfPaths('/admin', '/users/:id', '/public/', '/*', '~^/v[0-9]+$')
  t.equal(pathOf(one, '/admin/'), '/admin')
  t.equal(pathOf(one, '/users/7/'), '/users/:id')
  t.equal(pathOf(one, '/public'), '/public/')
  const both = tableOfPaths('/admin', '/admin/', '/admin/*')
  t.equal(pathOf(both, '/admin'), '/admin')
  t.equal(pathOf(both, '/admin/'), '/admin/')
  t.equal(pathOf(both, '/admin/x'), '/admin/*')
  t.equal(pathOf(tableOfPaths('~^/v[0-9]+$'), '/v1/'), '~^/v[0-9]+$')
  t.end()
})

t.test('no spelling of a protected path falls through to the route behind it', (t) => {
  const table = tableOfPaths('/*', '/admin/*', '/caf\u00e9', '/@me', '/a b')
  const spellings = [
    '/admin',
    '/admin/',
    '//admin',
    '/%61dmin',
    '/admin;x',
    '/;x/admin',
    '/admin;/x',
    '/admi%6e/x'
  ]
  for (const url of spellings) t.equal(pathOf(table, url), '/admin/*', url)
  t.equal(pathOf(table, '/caf%c3%a9'), '/caf\u00e9')
  t.equal(pathOf(table, '/%40me'), '/@me')
  t.equal(pathOf(table, '/a%20b'), '/a b')
  t.equal(pathOf(table, '/ADMIN'), '/*', 'paths have case')
  t.end()
})

t.test('host comes first: exact, then the longest wildcard, then any', (t) => {
  const table = tableOf(
    { id: 'any', path: '/a/b' },
    { id: 'wide', path: '/*', hosts: ['*.example.com'] },
    { id: 'narrow', path: '/*', hosts: ['*.eu.example.com'] },
    { id: 'exact', path: '/a/*', hosts: ['api.example.com', 'API.example.org.'] }
  )
  t.equal(idOf(table, '/a/b', { host: 'api.example.com' }), 'exact')
  t.equal(idOf(table, '/a/b', { host: 'api.example.org' }), 'exact')
  t.equal(idOf(table, '/b', { host: 'api.example.com' }), 'wide')
  t.equal(idOf(table, '/a/b', { host: 'x.eu.example.com' }), 'narrow')
  t.equal(idOf(table, '/a/b', { host: 'x.y.example.com' }), 'wide')
  t.equal(idOf(table, '/a/b', { host: 'example.com' }), 'any')
  t.equal(idOf(table, '/a/b', { host: 'badexample.com' }), 'any')
  t.equal(idOf(table, '/c', { host: '' }), 404)
  t.end()
})

t.test('at one path: listed methods, then more headers, then more query parameters', (t) => {
  const table = tableOf(
    { id: 'any', path: '/a' },
    { id: 'query', path: '/a', query: { v: '2' } },
    { id: 'header', path: '/a', headers: { 'X-Version': '2' } },
    { id: 'both', path: '/a', headers: { 'x-version': '2', 'x-beta': '*' } },
    { id: 'post', path: '/a', methods: ['POST'] }
  )
  t.equal(idOf(table, '/a'), 'any')
  t.equal(idOf(table, '/a?v=2'), 'query')
  t.equal(idOf(table, '/a?v=1&v=2'), 'query')
  t.equal(idOf(table, '/a?v=3'), 'any')
  t.equal(idOf(table, '/a?v=2', { headers: { 'x-version': '2' } }), 'header')
  t.equal(idOf(table, '/a', { headers: { 'x-version': '2', 'x-beta': '' } }), 'both')
  t.equal(idOf(table, '/a', { headers: { 'x-version': '3', 'x-beta': '' } }), 'any')
  t.equal(idOf(table, '/a', { method: 'POST', headers: { 'x-version': '2' } }), 'post')
  t.end()
})

t.test('goes on after a header, query or method that does not fit, to less special routes', (t) => {
  const table = tableOf(
    { id: 'exact', path: '/a/b', headers: { 'x-beta': '1' } },
    { id: 'parameter', path: '/a/:x', methods: ['POST'] },
    { id: 'wildcard', path: '/*', methods: ['GET'] }
  )
  t.equal(idOf(table, '/a/b', { headers: { 'x-beta': '1' } }), 'exact')
  t.equal(idOf(table, '/a/b', { method: 'POST' }), 'parameter')
  t.equal(idOf(table, '/a/b'), 'wildcard')
  t.equal(idOf(table, '/a/b', { method: 'PUT' }), 'GET HEAD POST')
  t.end()
})

t.test('HEAD is served where GET is; one that lists HEAD comes first', (t) => {
  const table = tableOf(
    { id: 'get', path: '/a', methods: ['GET'] },
    { id: 'head', path: '/a', methods: ['HEAD'] },
    { id: 'other', path: '/b', methods: ['GET'] },
    { id: 'post', path: '/c', methods: ['POST'] }
  )
  t.equal(idOf(table, '/a', { method: 'HEAD' }), 'head')
  t.equal(idOf(table, '/b', { method: 'HEAD' }), 'other')
  t.equal(idOf(table, '/c', { method: 'HEAD' }), 'POST')
  t.end()
})

t.test('longer regular expressions come first', (t) => {
  const table = tableOfPaths('~^/v.*$', '~^/v[0-9]+/status$')
  t.equal(pathOf(table, '/v1/status'), '~^/v[0-9]+/status$')
  t.equal(pathOf(table, '/v1/other'), '~^/v.*$')
  const long = `/v${'1'.repeat(3000)}`
  t.equal(pathOf(table, long), 404, 'too long to be put to a regular expression')
  const hosts = tableOf({ id: 'strict', path: '~^/v.*$', hosts: ['a.example'] }, { id: 'open', path: '/*' })
  t.equal(idOf(hosts, long, { host: 'a.example' }), 404, 'and no less exact route gets it instead')
  t.equal(idOf(hosts, long), 'open')
  t.end()
})

t.test('says which route has a bad path, host or rewrite', (t) => {
  const bad: readonly [Partial<RouteOptions> & { path: string }, RegExp][] = [
    [{ path: '/a*' }, /stands alone/],
    [{ path: '/a/*/b' }, /stands alone/],
    [{ path: '/:' }, /parameter name/],
    [{ path: '/a/../b' }, /dot segment/],
    [{ path: '/a%2fb' }, /./],
    [{ path: '/a?b' }, /no path has/],
    [{ path: '~^/(a' }, /not a regular expression/],
    [{ path: '~^/(a+)+$' }, /repeated group/],
    [{ path: '~^/(a|a)*$' }, /repeated group/],
    [{ path: '~^/(?:a*)*$' }, /repeated group/],
    [{ path: '~^/.*.*$' }, /something fixed/],
    [{ path: '~^/\\d+\\w+$' }, /something fixed/],
    [{ path: '~^/(?=a)b' }, /look-around/],
    [{ path: '~^/(a)\\1' }, /back references/],
    [{ path: '/a', hosts: ['exa mple'] }, /host name/],
    [{ path: '/a', hosts: ['a.*.com'] }, /host name/],
    [{ path: '/a', rewrite: { stripPrefix: '/../a' } }, /dot segment/]
  ]
  // The schema refuses these first, with what they were meant to be.
  for (const path of ['orders', '~/a']) t.throws(() => tableOf({ id: 'r', path }), { message: /\/path/ })
  for (const [options, reason] of bad) t.throws(() => tableOf({ id: 'r', ...options }), { message: reason })
  for (const path of ['~^/v[0-9]+/x$', '~^/(?:a|b)/[^/]+/c/[^/]+$', '~^/a(b)?/.*', '~^/[a-z]{2,5}/x']) {
    t.doesNotThrow(() => tableOfPaths(path), path)
  }
  t.end()
})

t.test('ten thousand routes are matched like ten', (t) => {
  const routes = Array.from({ length: 10_000 }, (_, index) => `/service-${index}/items/:id`)
  const table = tableOfPaths(...routes)
  t.equal(pathOf(table, '/service-9999/items/7'), '/service-9999/items/:id')
  t.equal(pathOf(table, '/service-10000/items/7'), 404)
  t.end()
})
