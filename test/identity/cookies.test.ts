import t, { type Test } from 'tap'
import { Browser, cookiesSet } from '../support/browser.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { exchange, httpUpstream, scripted } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const manyScopes = Array.from({ length: 64 }, (_, index) => `${index}${'s'.repeat(100)}`)
const files = {
  'users.json': await usersFile({
    kesa: { password: '123', scopes: ['orders:read'] },
    long: { password: '123', scopes: manyScopes }
  })
}
const at = '__Host-toll_at'
const rt = '__Secure-toll_rt'
const device = '__Secure-toll_device'

const route = (id: string, auth: unknown = {}) => ({ id, path: `/${id}`, service: 'app', auth })

async function start(t: Test, auth: Record<string, unknown> = {}) {
  const upstream = await httpUpstream(t, ({ headers }, response) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ user: headers['x-user-id'] }))
  )
  const gateway = await startGateway(
    t,
    {
      auth: { users: { driver: 'file', path: 'users.json' }, cookie: {}, ...auth },
      services: { app: { nodes: [upstream.url] } },
      routes: [
        route('page', { credentials: ['cookie'] }),
        route('both', { credentials: ['bearer', 'cookie'] }),
        route('maybe', { mode: 'optional', credentials: ['cookie'] }),
        route('bearer'),
        route('open', 'none')
      ]
    },
    { files }
  )
  return { ...gateway, upstream, browser: () => new Browser(gateway.origin) }
}

t.test('a page signs in, asks, refreshes and signs out, and never sees a token', async (t) => {
  const { browser, origin, log } = await start(t)
  const page = browser()
  // 1. Tokens go into cookies that scripts cannot read, each with the attributes that keep it in its place.
  const signedIn = await page.signIn()
  t.match(signedIn, { status: 200, body: { expires_in: 900, session_expires_in: 604_800 } })
  t.same(Object.keys(signedIn.body).sort(), ['csrf_token', 'expires_in', 'session', 'session_expires_in'])
  t.equal(signedIn.headers.get('cache-control'), 'no-store')
  const rest = (name: string) => page.cookies.get(name)?.text.replace(/^[^;]*/, '')
  t.equal(rest(at), '; Max-Age=900; Path=/; HttpOnly; Secure; SameSite=Lax')
  t.equal(rest(rt), '; Max-Age=604800; Path=/auth/refresh; HttpOnly; Secure; SameSite=Strict')
  t.equal(page.cookies.size, 2)
  // 2. Routes that take cookies know who asks, and so do the doors.
  t.match(await page.ask('GET', '/page'), { status: 200, body: { user: 'kesa' } })
  t.match(await page.ask('GET', '/auth/me'), { body: { user: 'kesa', csrf_token: signedIn.body.csrf_token } })
  t.match(await page.ask('GET', '/auth/sessions'), { body: { sessions: [{ current: true }] } })
  // 3. A refresh puts the next pair into the cookies.
  const before = [page.value(at), page.value(rt)]
  const refreshed = await page.ask('POST', '/auth/refresh')
  t.match(refreshed, { status: 200, body: { session: signedIn.body.session } })
  t.notOk('access_token' in refreshed.body || 'refresh_token' in refreshed.body)
  const after = [page.value(at), page.value(rt)]
  t.notOk(before.some((token) => after.includes(token)))
  t.equal((await page.ask('GET', '/page')).status, 200)
  // 4. Signing out ends the session and takes the cookies away.
  t.equal((await page.ask('POST', '/auth/logout')).status, 204)
  t.equal(page.cookies.size, 0)
  const old = await ask('GET', `${origin}/page`, { headers: { cookie: `${at}=${after[0]}` } })
  t.equal(old.status, 401)
  // 5. Whoever still shows the cookie of a dead session is told to forget it.
  t.match(
    old.headers.getSetCookie().join('\n'),
    /^__Secure-toll_rt=; Max-Age=0; Path=\/auth\/refresh; .*\n?/m
  )
  t.match(old.headers.getSetCookie().join('\n'), /^__Host-toll_at=; Max-Age=0; Path=\/; HttpOnly; Secure/m)
  const written = JSON.stringify(log())
  for (const token of [...before, ...after]) t.notOk(written.includes(token), 'no token is in the log')
})

t.test('a cookie that was brought along never becomes a session', async (t) => {
  const { browser } = await start(t)
  const [attacker, victim] = [browser(), browser()]
  await attacker.signIn()
  victim.cookies.set(at, attacker.cookies.get(at)!)
  const before = victim.value(at)
  const { body } = await victim.signIn()
  t.not(victim.value(at), before)
  t.not(body.session, (await attacker.ask('GET', '/auth/me')).body.session)
})

t.test(
  'without "cookie": true a sign-in gives tokens and no cookie; without the key it cannot be asked',
  async (t) => {
    const { browser, origin, reconfigure } = await start(t)
    for (const cookie of [undefined, false, 'false']) {
      const answer = await browser().ask('POST', '/auth/login', {
        json: { username: 'kesa', password: '123', cookie }
      })
      t.match(answer.body, { access_token: /\./, refresh_token: /^tlr1\./ })
      t.same(cookiesSet(answer), [])
    }
    t.equal(
      (await browser().ask('POST', '/auth/login', { json: { username: 'kesa', password: '123', cookie: 1 } }))
        .status,
      400
    )
    const form = {
      form: 'username=kesa&password=123&cookie=true',
      headers: { 'sec-fetch-site': 'same-origin' }
    }
    t.equal(cookiesSet(await ask('POST', `${origin}/auth/login`, form)).length, 2)
    const page = browser()
    await page.signIn()
    await reconfigure({ auth: { users: { driver: 'file', path: 'users.json' } }, routes: [] })
    t.match(await browser().signIn(), { status: 400, body: { detail: /auth\.cookie/ } })
    t.equal((await page.ask('GET', '/auth/me')).status, 401, 'no door looks at a cookie any more')
  }
)

t.test('a route looks at cookies only where it lists them, and takes one credential', async (t) => {
  const { browser } = await start(t)
  const page = browser()
  const { body } = await page.ask('POST', '/auth/login', { json: { username: 'kesa', password: '123' } })
  await page.signIn()
  const token = String(body.access_token)
  const cookie = `${at}=${page.value(at)}`
  const rows: [path: string, headers: Record<string, string>, status: number, user?: string][] = [
    ['/page', { cookie }, 200, 'kesa'],
    ['/page', { cookie, authorization: `Bearer ${token}` }, 200, 'kesa'],
    ['/page', { cookie: '', authorization: `Bearer ${token}` }, 401],
    ['/both', { cookie }, 200, 'kesa'],
    ['/both', { cookie: '', authorization: `Bearer ${token}` }, 200, 'kesa'],
    ['/both', { cookie, authorization: `Bearer ${token}` }, 401],
    ['/bearer', { cookie }, 401],
    ['/bearer', { cookie: `${at}=x`, authorization: `Bearer ${token}` }, 200, 'kesa'],
    ['/open', { cookie }, 200],
    ['/open', { cookie: `${at}=x; ${at}=y` }, 200],
    ['/maybe', { cookie: '' }, 200],
    ['/maybe', { cookie: 'a=b' }, 200],
    ['/maybe', { cookie }, 200, 'kesa'],
    ['/maybe', { cookie: `${at}=x` }, 401]
  ]
  for (const [path, headers, status, user] of rows) {
    const answer = await page.ask('GET', path, { headers })
    t.equal(answer.status, status, `${path} ${Object.keys(headers)}`)
    if (status === 200) t.equal(answer.body.user, user)
  }
})

t.test('cookies that are spelt oddly, tossed or too long are no credential', async (t) => {
  const { browser, origin, upstream } = await start(t)
  const page = browser()
  await page.signIn()
  const good = page.value(at)
  const send = (lines: string[]) =>
    exchange(origin, `GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines.join('\r\n')}\r\n\r\n`)
  const refused: [name: string, lines: string[], status: number][] = [
    ['twice in one header', [`Cookie: ${at}=${good}; ${at}=${good}`], 400],
    ['twice in two headers', [`Cookie: ${at}=${good}`, `Cookie: ${at}=x`], 400],
    ['an empty one beside it', [`Cookie: ${at}=; ${at}=${good}`], 400],
    ['in lower case', [`Cookie: __host-toll_at=${good}`], 401],
    ['without the prefix', [`Cookie: toll_at=${good}`], 401],
    ['in quotes', [`Cookie: ${at}="${good}"`], 401],
    ['a space before =', [`Cookie: ${at} =${good}`], 401],
    ['a space after =', [`Cookie: ${at}= ${good}`], 401],
    ['a nameless one', [`Cookie: =${at}=${good}`], 401],
    ['a comma for the semicolon', [`Cookie: a=b, ${at}=${good}`], 401],
    ['a longer name', [`Cookie: ${at}x=${good}`], 401],
    ['in the value of another', [`Cookie: a=${at}=${good}`], 401],
    ['escaped', [`Cookie: __Host%2Dtoll_at=${good}`], 401],
    ['a tail', [`Cookie: ${at}=${good}%0d%0aX-User-Id: root`], 401],
    ['oversize', [`Cookie: ${at}=${good}${'A'.repeat(9000)}`], 401],
    ['larger than a head may be', [`Cookie: ${at}=${good}${'A'.repeat(40_000)}`], 431],
    ['the refresh token', [`Cookie: ${at}=${page.value(rt)}`], 401],
    ['a cookie of the other name', [`Cookie: ${rt}=${good}`], 401]
  ]
  for (const [name, lines, status] of refused) {
    t.match(await send(lines), new RegExp(`^HTTP/1.1 ${status} `), name)
  }
  t.equal(upstream.requests.length, 0)
  const passed: [name: string, lines: string[]][] = [
    ['alone', [`Cookie: ${at}=${good}`]],
    ['among others', [`Cookie: a=1;${at}=${good};b=2`]],
    ['in a header of its own', ['Cookie: a=1', `cookie: ${at}=${good}`]],
    ['beside one in lower case', [`Cookie: __host-toll_at=x; ${at}=${good}`]]
  ]
  for (const [name, lines] of passed) t.match(await send(lines), /^HTTP\/1.1 200 /, name)
})

t.test('services see no cookie of the gateway, and all the others byte for byte', async (t) => {
  const { browser, upstream } = await start(t)
  const page = browser()
  await page.signIn()
  const mine = `${at}=${page.value(at)}`
  const rows: [sent: string, seen: string | undefined][] = [
    [mine, undefined],
    [`a=1; ${mine}; b="2 3"`, 'a=1; b="2 3"'],
    [`${mine};b=2;  c=;d`, 'b=2;  c=;d'],
    [`a=1; ${mine}`, 'a=1'],
    [`__host-TOLL_at=x; a=toll_; __Host-toll_st=y; ${rt}=z; ${mine}`, 'a=toll_'],
    [`=__Host-toll_st=x; ${mine}; __Host-toll_st`, undefined],
    [`a=1; ${device}=x; __secure-TOLL_device =y; =${device}=z; ${mine}`, 'a=1'],
    [`my__Host-toll_at=1; ${mine}; __Host-toll_atx=2`, 'my__Host-toll_at=1; __Host-toll_atx=2']
  ]
  for (const path of ['/page', '/open']) {
    for (const [sent, seen] of rows) {
      await page.ask('GET', path, { headers: { cookie: sent } })
      t.equal(upstream.requests.at(-1)?.headers.cookie, seen, `${path} ${sent.slice(0, 30)}`)
    }
  }
})

t.test('a service cannot plant a cookie of the gateway', async (t) => {
  const planted = [
    `${at}=x; Path=/; Secure`,
    ` __host-TOLL_at =x`,
    `__Host-toll_st=x`,
    `=${rt}=x; Secure`,
    `${rt}; Secure`,
    `${device}=x; Path=/auth/login; Secure`,
    `__SECURE-toll_Device=x`,
    'a=1; Path=/',
    `b=${at}=1`
  ]
  const { url } = await scripted(
    t,
    `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${planted.map((cookie) => `Set-Cookie: ${cookie}\r\n`).join('')}\r\n`
  )
  const config = (auth: object) => ({
    auth,
    services: { app: { nodes: [url] } },
    routes: [route('open', 'none')]
  })
  const { origin, reconfigure } = await startGateway(t, config({ cookie: {} }))
  const cookies = async () => (await ask('GET', `${origin}/open`)).headers.getSetCookie()
  t.same(await cookies(), ['a=1; Path=/', `b=${at}=1`])
  await reconfigure(config({}))
  t.equal((await cookies()).length, planted.length, "where the gateway sets no cookie the names are nobody's")
})

t.test('the mark of a device stays between browser and gateway, without "auth.cookie" as well', async (t) => {
  for (const cookie of [undefined, {}]) {
    const upstream = await httpUpstream(t, (_request, response) => response.end())
    const { origin } = await startGateway(
      t,
      {
        auth: { users: { driver: 'file', path: 'users.json' }, cookie },
        services: { app: { nodes: [upstream.url] } },
        routes: [route('open', 'none')]
      },
      { files }
    )
    const json = { username: 'kesa', password: '123', ...(cookie && { cookie: true }) }
    const headers = { 'sec-fetch-site': 'same-origin' }
    const set = (await ask('POST', `${origin}/auth/login`, { json, headers })).headers.getSetCookie()
    const [mark = ''] = set.filter((text) => text.startsWith(device)).map((text) => text.split(';')[0])
    t.match(mark, /=tld1\./, 'it is given beside the cookies of the session')
    await ask('GET', `${origin}/open`, { headers: { cookie: `a=1; ${mark}; b=2` } })
    t.equal(upstream.requests.at(-1)?.headers.cookie, 'a=1; b=2')
  }
})

t.test('logout-all and ending the own session take the cookies away; ending another does not', async (t) => {
  const { browser } = await start(t)
  const [one, two] = [browser(), browser()]
  const { body } = await one.signIn()
  const other = await two.signIn()
  t.equal((await one.ask('DELETE', `/auth/sessions/${other.body.session}`)).status, 204)
  t.equal(one.cookies.size, 2)
  t.equal((await two.ask('GET', '/page')).status, 401)
  t.equal((await one.ask('DELETE', `/auth/sessions/${body.session}`)).status, 204)
  t.equal(one.cookies.size, 0)
  await one.signIn()
  t.equal((await one.ask('POST', '/auth/logout-all')).status, 204)
  t.equal(one.cookies.size, 0)
})

t.test('a refresh by cookie: reuse ends the session and clears, two credentials are refused', async (t) => {
  const { browser, origin } = await start(t, { grace: '0s', unconfirmed: '0s' })
  const page = browser()
  await page.signIn()
  const first = { cookie: `${rt}=${page.value(rt)}`, 'sec-fetch-site': 'same-origin' }
  const both = await page.ask('POST', '/auth/refresh', { json: { refresh_token: page.value(rt) } })
  t.match(both, { status: 401, body: { detail: /more than one credential/ } })
  t.equal((await page.ask('POST', '/auth/refresh')).status, 200)
  const reused = await ask('POST', `${origin}/auth/refresh`, { headers: first })
  t.match(reused, { status: 400, body: { code: 'INVALID_GRANT' } })
  t.match(reused.headers.getSetCookie().join('\n'), /__Secure-toll_rt=; Max-Age=0; Path=\/auth\/refresh/)
  t.equal((await page.ask('GET', '/page')).status, 401)
  t.equal(page.cookies.size, 0)
})

t.test('an access token that no browser would keep is not set', async (t) => {
  const { browser, log } = await start(t)
  const answer = await browser().signIn('long')
  t.match(answer, { status: 500, body: { code: 'INTERNAL' } })
  t.same(cookiesSet(answer), [])
  t.ok(log().some(({ msg }) => /does not fit into a cookie/.test(String(msg))))
})

t.test('configs that cannot work, or would be unsafe, are refused', async (t) => {
  const { reconfigure } = await start(t)
  const users = { driver: 'file', path: 'users.json' }
  const app = { services: { app: { nodes: ['http://127.0.0.1:1'] } } }
  const byCookie = [route('page', { credentials: ['cookie'] })]
  const rows: [name: string, config: object, sentence: RegExp | undefined][] = [
    ['a route without the key', { auth: { users }, ...app, routes: byCookie }, /auth\.cookie/],
    ['a route without auth', { ...app, routes: byCookie }, /auth\.cookie/],
    ['the same with it', { auth: { users, cookie: {} }, ...app, routes: byCookie }, undefined],
    ['unsafeGet', { auth: { users, cookie: {}, unsafeGet: true }, routes: [] }, /by a link/],
    ['any origin', { auth: { users, cookie: { origins: ['*'] } }, routes: [] }, /origins/],
    ['a path', { auth: { users, cookie: { origins: ['https://a.example/'] } }, routes: [] }, /origins/],
    ['CORS with cookies for all', { cors: { origins: ['*'], credentials: true }, routes: [] }, /origins/]
  ]
  for (const [name, config, sentence] of rows) {
    const outcome = await reconfigure(config).then(
      (answer) => JSON.stringify(answer),
      (error: Error) => `refused ${error.message}`
    )
    if (sentence === undefined) t.notMatch(outcome, /refused/, name)
    else t.match(outcome, sentence, name)
  }
})
