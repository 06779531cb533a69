import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream } from '../support/upstream.ts'

/** What a careless server makes of a path: everything that some known one does, until nothing changes any more. */
function careless(path: string): string {
  let result = path
  for (let round = 0; round < 5; round += 1) {
    const decoded = result
      .replace(/%u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
      .replace(/%c0%af/gi, '/')
      .replace(/%c0%ae/gi, '.')
      .replace(/%([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
      .replaceAll('\\', '/')
      .replace(/;[^/]*/g, '')
      .replace(/[^\x21-\x7e]+/g, '')
      .replace(/\/{2,}/g, '/')
    const segments: string[] = []
    for (const segment of decoded.split('/')) {
      if (segment === '..') segments.pop()
      else if (segment !== '.') segments.push(segment)
    }
    const next = segments.join('/').replace(/^(?!\/)/, '/')
    if (next === result) break
    result = next
  }
  return result
}

const separators = [
  '/',
  '//',
  '///',
  '/./',
  '/%2e/',
  '/;/',
  '/;x=y/',
  '/%2f',
  '%2f',
  '%5c',
  '\\',
  '/.;/',
  '%252f',
  '%c0%af',
  '/x/../',
  '/x/%2e%2e/',
  '/x/..;/',
  '/x/.%2e/',
  '/x/..%2f',
  '/x/..%5c',
  '/x%2f..%2f',
  '/x/%252e%252e/',
  '/x/..%252f',
  '/x/%c0%ae%c0%ae/',
  '/x/%u002e%u002e/',
  '/%00/',
  '/%0a/',
  '/%20../',
  '/x/..%00/',
  '/x/..%09/',
  '/x/..%3b/'
]
const words = [
  'admin',
  '%61dmin',
  'adm%69n',
  'admin;',
  'admin;a=b',
  'admin%3b',
  'admin/',
  'admin//',
  'admin/.',
  'admin/%2e',
  'admin%2f',
  'admin%00',
  'admin#',
  'admin?',
  'admin/x',
  'admin%2fx',
  'admin;/x',
  'admin/;/x'
]

t.test('no spelling of a protected path gets past its protection', async (t) => {
  const reached: string[] = []
  const up = await httpUpstream(t, (request, response) => {
    const path = request.url!.split(/[?#]/)[0]!
    if (/^\/admin(?:\/|$)/.test(careless(path))) reached.push(request.url!)
    response.end('ok')
  })
  const { origin } = await startGateway(
    t,
    {
      ...configFor([up.url]),
      routes: [
        { id: 'admin', path: '/admin/*', service: 'up', auth: 'required' },
        { id: 'api', path: '/api/*', service: 'up', auth: 'none', rewrite: { stripPrefix: '/api' } },
        { id: 'open', path: '/*', service: 'up', auth: 'none' }
      ],
      auth: { issuer: 'https://gw.example', audience: 'api', users: { driver: 'file', path: 'users.json' } }
    },
    { files: { 'users.json': '{"users":{}}' } }
  )
  const paths = separators.flatMap((separator) => words.map((word) => separator + word))
  for (let start = 0; start < paths.length; start += 32) {
    await Promise.all(
      paths.slice(start, start + 32).map(async (path) => {
        const sent = path.startsWith('/') ? path : `/x${path}`
        const request = (target: string) =>
          `GET ${target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n`
        await exchange(origin, request(sent))
        if (path.length % 5 === 0) await exchange(origin, request(`http://a.example${sent}`))
      })
    )
  }
  t.same(reached, [])
  for (const path of ['/x', '/adminx', '/api/x', '/x/admin']) {
    const answer = await exchange(origin, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
    t.match(answer, /^HTTP\/1\.1 200 /, path)
  }
  const head = await exchange(origin, 'HEAD /admin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.match(head, /^HTTP\/1\.1 401 /)
  const override = await exchange(
    origin,
    'GET /x HTTP/1.1\r\nHost: a\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: PUT\r\nConnection: close\r\n\r\n'
  )
  t.match(override, /^HTTP\/1\.1 200 /)
  t.equal(up.requests.at(-1)!.headers['x-original-url'], undefined)
  t.equal(up.requests.at(-1)!.headers['x-rewrite-url'], undefined)
})

t.test(
  'an escaped slash passes only where the route allows it, and never around another route',
  async (t) => {
    const up = await httpUpstream(t, (request, response) => response.end(request.url))
    const base = configFor([up.url])
    const { origin } = await startGateway(t, {
      ...base,
      routes: [
        { id: 'packages', path: '/packages/*', service: 'up', auth: 'none', allowEncoded: true },
        { id: 'secret', path: '/packages/secret/*', service: 'up', auth: 'none', methods: ['PUT'] },
        { id: 'plain', path: '/plain/*', service: 'up', auth: 'none' }
      ]
    })
    const ask = async (path: string) => {
      const answer = await exchange(origin, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
      return `${answer.slice(9, 12)} ${answer.split('\r\n\r\n')[1]}`
    }
    t.equal(await ask('/packages/@scope%2fname'), '200 /packages/@scope%2Fname')
    t.equal(await ask('/packages/a%252fb'), '200 /packages/a%252fb')
    t.equal(await ask('/packages/a%2ejs'), '200 /packages/a.js')
    t.match(await ask('/packages%2fx'), /^400 .*AMBIGUOUS_PATH/)
    t.match(await ask('/packages/..%2fplain'), /^400 .*AMBIGUOUS_PATH/)
    t.match(await ask('/packages/%2e%2e/plain'), /^400 .*AMBIGUOUS_PATH/)
    t.match(await ask('/packages/a%00'), /^400 .*AMBIGUOUS_PATH/)
    t.match(await ask('/plain/a%2fb'), /^400 .*AMBIGUOUS_PATH/)
  }
)

t.test('the query goes to the service as it was sent', async (t) => {
  const up = await httpUpstream(t, (request, response) => response.end(request.url))
  const { origin } = await startGateway(t, configFor([up.url]))
  for (const query of ['?', '?a=%2e%2e%2f&b=%00', '?a=../..&b=\\x&c={}|^`"<>\'', '?a?b??c', '?%zz']) {
    const answer = await exchange(origin, `GET /x${query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
    t.ok(answer.endsWith(`/x${query}`), query)
  }
})
