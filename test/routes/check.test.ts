import t from 'tap'
import type { Report } from '../../config/mistake.ts'
import { routeTable } from '../../routes/table/check.ts'
import type { RouteOptions } from '../../routes/table/slice.ts'
import { routeOf } from '../support/table.ts'

type Given = Partial<RouteOptions> & { path: string }

/** What the check says of routes called a, b, c ..., as "pointer sentence". */
function said(...given: readonly Given[]): string[] {
  const found: string[] = []
  const report: Report = {
    error: (pointer, sentence) => found.push(`${pointer} ${sentence}`),
    warning: () => {}
  }
  const routes = given.map((route, index) => routeOf({ id: 'abcdef'.charAt(index), ...route }))
  routeTable({ routes } as never, report)
  return found
}

t.test('lets routes be that differ in host, path, method, header or query', async (t) => {
  t.same(
    said(
      { path: '/x' },
      { path: '/x', methods: ['GET'] },
      { path: '/x', hosts: ['a.example'] },
      { path: '/x', headers: { v: '2' } },
      { path: '/x', query: { v: '2' } }
    ),
    []
  )
  t.same(said({ path: '/x' }, { path: '/x/' }, { path: '/x/*' }, { path: '/x/:id' }, { path: '/*' }), [])
  t.same(said({ path: '/x', methods: ['GET'] }, { path: '/x', methods: ['POST'] }), [])
  t.same(said({ path: '/x', headers: { v: '1' } }, { path: '/x', headers: { v: '2' } }), [])
  t.same(said({ path: '/x', headers: { v: '1' } }, { path: '/x', headers: { v: '*' } }), [])
  t.same(said({ path: '/x', hosts: ['a.example'] }, { path: '/x', hosts: ['*.example'] }), [])
  t.same(said({ path: '~^/a/[0-9]+$' }, { path: '~^/b/[0-9]+$' }, { path: '/c/*' }), [])
})

t.test(
  'refuses two routes that nothing but their order tells apart, with a request as witness',
  async (t) => {
    t.same(said({ path: '/x' }, { path: '/x' }), [
      '/routes/1/path the routes "a" and "b" take the same requests, such as GET http://example.com/x, and neither is more exact'
    ])
    t.match(said({ path: '/x/:id' }, { path: '/x/:name' })[0], 'such as GET http://example.com/x/x, and')
    t.match(
      said({ path: '/x/*', methods: ['POST', 'PUT'] }, { path: '/x/*', methods: ['DELETE', 'PUT'] })[0],
      /^\/routes\/1\/path .* http:\/\/example\.com\/x\/x, and/
    )
    t.match(
      said({ path: '/', hosts: ['a.example', 'b.example'] }, { path: '/', hosts: ['B.example'] })[0],
      'such as GET http://b.example/, and'
    )
    t.match(
      said({ path: '/', hosts: ['*.example'] }, { path: '/', hosts: ['*.example'] })[0],
      'http://x.example/'
    )
    t.match(
      said(
        { path: '/x', headers: { V: '2' }, query: { q: '*' } },
        { path: '/x', headers: { v: '2' }, query: { q: '*' } }
      )[0],
      'such as GET http://example.com/x?q=x with v: 2, and'
    )
    t.match(
      said({ path: '~^/v[0-9]+/(a|b)$' }, { path: '~^/v[0-9]+/(a|b)$' })[0],
      'http://example.com/v0/a, and'
    )
  }
)

t.test('picks a witness that no other route would take', async (t) => {
  t.match(
    said({ path: '/x/x' }, { path: '/x/:id', methods: ['POST'] }, { path: '/x/:key', methods: ['POST'] })[0],
    '"b" and "c" take the same requests, such as POST http://example.com/x/1, and'
  )
  t.match(
    said({ path: '/', hosts: ['example.com'] }, { path: '/' }, { path: '/' })[0],
    'such as GET http://example.org/, and'
  )
})

t.test('refuses a route to which others leave nothing', async (t) => {
  t.same(said({ path: '/x', headers: { v: '*' } }, { path: '/x', headers: { v: '1' } }), [
    '/routes/1/path the route "b" gets no request: "a" takes them first, such as GET http://example.com/x with v: 1'
  ])
  t.match(
    said({ path: '/*' }, { path: '~^/v[0-9]+$' })[0],
    '"b" gets no request: "a" takes them first, such as GET http://example.com/v0'
  )
  t.match(
    said({ path: '~^/api/v[0-9]+$' }, { path: '/api/*' })[0],
    '/routes/0/path the route "a" gets no request: "b"'
  )
  t.same(said({ path: '~^/api/v[0-9]+$' }, { path: '/api/*', methods: ['GET'] }), [])
  t.same(said({ path: '~^/(api|other)/v[0-9]+$' }, { path: '/api/*' }), [])
})

t.test('tells what cannot be read, at the field that is wrong', async (t) => {
  const found = said(
    { path: '/a*b' },
    { path: '/x', hosts: ['fine.example', 'not fine'] },
    { path: '/x', rewrite: { replace: { pattern: '(', with: '' } } },
    { path: '~^/(a+)+$', hosts: ['also not'] }
  )
  t.same(
    found.map((line) => line.split(' ')[0]),
    ['/routes/0/path', '/routes/1/hosts/1', '/routes/2/rewrite', '/routes/3/path', '/routes/3/hosts/0']
  )
})

t.test('takes ten thousand routes in its stride', async (t) => {
  const many = Array.from({ length: 10_000 }, (_, index) => ({ id: `r${index}`, path: `/r${index}/*` }))
  t.same(said(...many), [])
})
