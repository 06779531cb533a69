import t, { type Test } from 'tap'
import { Browser, cookiesSet } from '../support/browser.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { exchange, httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'
import { wsUpstream } from '../support/websocket.ts'

const files = { 'users.json': await usersFile({ kesa: { password: '123' } }) }
const friend = 'https://app.example'
const stranger = 'https://evil.example'

async function start(t: Test, config: Record<string, unknown> = {}) {
  const upstream = await httpUpstream(t, (_request, response) => response.end('served'))
  const gateway = await startGateway(
    t,
    {
      auth: { users: { driver: 'file', path: 'users.json' }, cookie: { origins: [friend] } },
      services: { app: { nodes: [upstream.url] } },
      routes: [
        { id: 'page', path: '/page', service: 'app', auth: { credentials: ['cookie'] } },
        { id: 'both', path: '/both', service: 'app', auth: { credentials: ['bearer', 'cookie'] } },
        { id: 'open', path: '/open', service: 'app', auth: 'none' }
      ],
      ...config
    },
    { files }
  )
  const page = new Browser(gateway.origin)
  const { body } = await page.signIn()
  return { ...gateway, upstream, page, csrf: String(body.csrf_token), cookie: page.header('/').cookie! }
}

type Headers = Record<string, string>

/** What a request says of where it comes from; SELF stands for the gateway's own origin, TOKEN for the session's own token. */
const sayings: readonly [name: string, headers: Headers, passes: boolean][] = [
  ['the browser says same origin', { 'sec-fetch-site': 'same-origin' }, true],
  ['the browser says the user typed it', { 'sec-fetch-site': 'none' }, true],
  [
    'same origin, without an Origin that one knows',
    { 'sec-fetch-site': 'same-origin', origin: 'null' },
    true
  ],
  ['another site', { 'sec-fetch-site': 'cross-site' }, false],
  ['a sibling site', { 'sec-fetch-site': 'same-site' }, false],
  ['another site, a listed origin', { 'sec-fetch-site': 'cross-site', origin: friend }, true],
  ['a sibling site, a listed origin', { 'sec-fetch-site': 'same-site', origin: friend }, true],
  ['another site, a stranger', { 'sec-fetch-site': 'cross-site', origin: stranger }, false],
  ['another site with the token', { 'sec-fetch-site': 'cross-site', 'x-csrf-token': 'TOKEN' }, true],
  ['a saying nobody knows', { 'sec-fetch-site': 'same-origin, cross-site' }, false],
  ['in capitals', { 'sec-fetch-site': 'Same-Origin' }, false],
  ['empty', { 'sec-fetch-site': '' }, false],
  ['the own origin', { origin: 'SELF' }, true],
  ['a listed origin', { origin: friend }, true],
  ['a stranger', { origin: stranger }, false],
  ['an origin that begins like a listed one', { origin: `${friend}.evil.example` }, false],
  ['a listed origin by another scheme', { origin: 'http://app.example' }, false],
  ['a listed origin on another port', { origin: `${friend}:8443` }, false],
  ['no origin', { origin: 'null' }, false],
  ['an empty origin', { origin: '' }, false],
  ['two origins', { origin: `${friend}, ${stranger}` }, false],
  ['a Referer of the own origin', { referer: 'SELF/page?x=1' }, true],
  ['a Referer of a listed origin', { referer: `${friend}/a/b` }, true],
  ['a Referer of a stranger', { referer: `${stranger}/a` }, false],
  ['a stranger who names a listed origin', { referer: `${stranger}/${friend}` }, false],
  ['a listed origin as user name', { referer: `${friend}@evil.example/` }, false],
  ['a Referer that is none', { referer: 'app.example' }, false],
  ['an origin counts before a Referer', { origin: stranger, referer: `${friend}/a` }, false],
  ['nothing', {}, false],
  ['nothing but the token', { 'x-csrf-token': 'TOKEN' }, true],
  ['a stranger with the token', { origin: stranger, 'x-csrf-token': 'TOKEN' }, true],
  ['a token that is none', { 'x-csrf-token': 'x' }, false],
  ['an empty token', { 'x-csrf-token': '' }, false],
  ['the token twice', { 'x-csrf-token': 'TOKEN, TOKEN' }, false],
  ['the token of another session', { 'x-csrf-token': 'OTHER' }, false],
  ['a host of its own choice', { origin: stranger, 'x-forwarded-host': 'evil.example' }, false]
]

t.test('every method that changes something needs proof beside the cookie; safe ones do not', async (t) => {
  const { origin, cookie, csrf, upstream } = await start(t)
  const { body } = await new Browser(origin).signIn()
  const said = (headers: Headers): Headers =>
    Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [
        name,
        value.replace('SELF', origin).replace('OTHER', String(body.csrf_token)).replaceAll('TOKEN', csrf)
      ])
    )
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'GET', 'HEAD', 'OPTIONS']) {
    const isSafe = ['GET', 'HEAD', 'OPTIONS'].includes(method)
    const before = upstream.requests.length
    const checks = sayings.map(async ([name, headers, passes]) => {
      const lines = Object.entries({ cookie, ...said(headers) }).map(([key, value]) => `${key}: ${value}\r\n`)
      const request = `${method} /page HTTP/1.1\r\nHost: ${new URL(origin).host}\r\nConnection: close\r\n`
      const answer = await exchange(origin, `${request}${lines.join('')}\r\n`)
      const refusal = /^HTTP\/1.1 403 [\s\S]*"code":"FORBIDDEN"/
      t.match(answer, isSafe || passes ? /^HTTP\/1.1 200 / : refusal, `${method}: ${name}`)
    })
    await Promise.all(checks)
    const served = sayings.filter(([, , passes]) => isSafe || passes)
    t.equal(upstream.requests.length - before, served.length)
  }
})

t.test('who names no host does not come from the own origin by naming none either', async (t) => {
  const { origin, cookie, upstream } = await start(t)
  const post = (version: string, lines: string) =>
    exchange(origin, `POST /page HTTP/${version}\r\n${lines}Cookie: ${cookie}\r\nContent-Length: 0\r\n\r\n`)
  t.match(await post('1.0', 'Origin: \r\n'), /^HTTP\/1.1 403 /)
  t.match(await post('1.0', ''), /^HTTP\/1.1 403 /)
  t.equal(upstream.requests.length, 0)
  t.match(await post('1.0', 'Sec-Fetch-Site: same-origin\r\n'), /^HTTP\/1.1 200 /)
})

t.test('whoever shows no cookie needs no proof, and a refusal has its reason in the log alone', async (t) => {
  const { origin, page, cookie, log } = await start(t)
  const { body } = await page.ask('POST', '/auth/login', { json: { username: 'kesa', password: '123' } })
  const bare = { headers: { 'sec-fetch-site': 'cross-site', origin: stranger } }
  t.equal((await ask('POST', `${origin}/both`, { ...bare, token: String(body.access_token) })).status, 200)
  t.equal((await ask('POST', `${origin}/open`, { headers: { ...bare.headers, cookie } })).status, 200)
  t.equal((await ask('POST', `${origin}/page`, bare)).status, 401)
  const refused = await ask('POST', `${origin}/both`, { headers: { ...bare.headers, cookie } })
  t.equal(refused.status, 403)
  t.notMatch(refused.text, /csrf"/)
  t.same(cookiesSet(refused), [], 'somebody else cannot sign the user out')
  t.ok(log().some(({ reason }) => reason === 'csrf'))
})

t.test('the doors obey the same', async (t) => {
  const doors: [method: string, path: (session: string) => string][] = [
    ['POST', () => '/auth/logout'],
    ['POST', () => '/auth/logout-all'],
    ['POST', () => '/auth/refresh'],
    ['DELETE', (session) => `/auth/sessions/${session}`]
  ]
  for (const refresh of [false, true]) {
    const { page } = await start(t, {
      auth: { users: { driver: 'file', path: 'users.json' }, cookie: { refresh } },
      routes: []
    })
    for (const [method, path] of doors) {
      const { session, csrf_token: csrf } = (await page.signIn()).body
      const door = (headers: Headers) => page.ask(method, path(String(session)), { headers })
      const name = `${method} ${path('ID')}, refresh ${refresh}`
      for (const headers of [
        { 'sec-fetch-site': 'cross-site' },
        { 'sec-fetch-site': '', 'x-csrf-token': 'x' }
      ]) {
        t.match(await door(headers), { status: 403, body: { code: 'FORBIDDEN' } }, name)
      }
      t.equal((await page.ask('GET', '/auth/me')).status, 200, 'nothing has happened')
      const passed = await door({ 'sec-fetch-site': 'cross-site', 'x-csrf-token': String(csrf) })
      t.match([200, 204], passed.status === 200 || passed.status === 204 ? [200, 204] : [passed.status], name)
    }
  }
})

t.test('another page cannot have a browser sign in with cookies', async (t) => {
  const { origin, csrf } = await start(t)
  const login = (headers: Headers) =>
    ask('POST', `${origin}/auth/login`, { headers, form: 'username=kesa&password=123&cookie=true' })
  for (const headers of [
    {},
    { 'sec-fetch-site': 'cross-site', origin: stranger },
    { origin: 'null' },
    { 'x-csrf-token': csrf }
  ]) {
    const refused = await login(headers as Headers)
    t.equal(refused.status, 403)
    t.same(cookiesSet(refused), [])
  }
  for (const headers of [{ origin }, { 'sec-fetch-site': 'same-origin' }, { origin: friend }]) {
    t.equal((await login(headers as Headers)).status, 200)
  }
})

t.test('behind a proxy that is trusted the own origin is the one that the browser sees', async (t) => {
  const rows: [trusted: string[], headers: Headers, status: number][] = [
    [['127.0.0.1'], { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'GW.example' }, 200],
    [['127.0.0.1'], { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'gw.example:443' }, 200],
    [['127.0.0.1'], { 'x-forwarded-proto': 'wss', 'x-forwarded-host': 'gw.example' }, 200],
    [['127.0.0.1'], { 'x-forwarded-proto': 'http', 'x-forwarded-host': 'gw.example' }, 403],
    [['127.0.0.1'], { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'other.example' }, 403],
    [[], { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'gw.example' }, 403]
  ]
  for (const [trustedProxies, headers, status] of rows) {
    const { origin, cookie } = await start(t, { guard: { trustedProxies } })
    const answer = await ask('POST', `${origin}/page`, {
      headers: { ...headers, cookie, origin: 'https://gw.example' }
    })
    t.equal(answer.status, status, JSON.stringify([trustedProxies, headers]))
  }
})

t.test('a page of another origin cannot open a WebSocket with the cookie', async (t) => {
  const { url, sockets } = await wsUpstream(t)
  const { origin, cookie, csrf } = await start(t, {
    services: { app: { nodes: [url] } },
    routes: [{ id: 'live', path: '/live', service: 'app', auth: { credentials: ['cookie'] } }]
  })
  let opened = 0
  sockets.on('connection', (socket) => {
    opened += 1
    socket.terminate()
  })
  const { host } = new URL(origin)
  const upgrade = (headers: Headers) =>
    exchange(
      origin,
      [
        'GET /live HTTP/1.1',
        `Host: ${host}`,
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
        ...Object.entries({ cookie, ...headers }).map(([name, value]) => `${name}: ${value}`),
        '\r\n'
      ].join('\r\n')
    )
  for (const headers of [{}, { origin: stranger }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }]) {
    t.match(await upgrade(headers as Headers), /^HTTP\/1.1 403 /, JSON.stringify(headers))
  }
  t.equal(opened, 0)
  for (const headers of [
    { origin },
    { origin: friend },
    { 'sec-fetch-site': 'same-origin' },
    { 'x-csrf-token': csrf }
  ]) {
    t.match(await upgrade(headers as Headers), /^HTTP\/1.1 101 /)
  }
  t.equal(opened, 4)
})

t.test('with CORS for cookies a listed origin reads answers, another does not', async (t) => {
  const { origin, cookie } = await start(t, { cors: { origins: [friend], credentials: true } })
  const me = async (from: string) =>
    (await ask('GET', `${origin}/auth/me`, { headers: { cookie, origin: from } })).headers
  t.equal((await me(friend)).get('access-control-allow-origin'), friend)
  t.equal((await me(friend)).get('access-control-allow-credentials'), 'true')
  t.not((await me(stranger)).get('access-control-allow-origin'), stranger)
  t.not((await me(stranger)).get('access-control-allow-origin'), '*')
})
