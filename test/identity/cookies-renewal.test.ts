import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Browser, cookiesSet } from '../support/browser.ts'
import { type Answer, ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { freePorts } from '../support/ports.ts'
import { startRedis } from '../support/redis.ts'
import { startToll } from '../support/toll.ts'
import { exchange, httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'
import { wsUpstream } from '../support/websocket.ts'

const redis = await startRedis()
t.teardown(() => redis.stop())
const files = { 'users.json': await usersFile({ kesa: { password: '123' } }) }
const users = { driver: 'file', path: 'users.json' }
const at = '__Host-toll_at'
const st = '__Host-toll_st'
const credentials = ['cookie']
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** By which services tell caches of content networks more than all others. */
const orders = [
  'cdn-cache-control',
  'cloudflare-cdn-cache-control',
  'surrogate-control',
  'edge-control',
  'x-accel-expires'
]

const upstreamOf = (t: Test) =>
  httpUpstream(t, ({ url, headers }, response) => {
    response.setHeader('x-seen', String(headers['x-user-id']))
    if (url === '/app/204') response.writeHead(204).end()
    else if (url === '/app/304') response.writeHead(304, { etag: '"1"' }).end()
    else if (url === '/app/broken') response.socket?.destroy()
    else if (url === '/app/stream') {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
      setTimeout(() => response.end('data: 2\n\n'), 50)
    } else {
      response.setHeader('cache-control', 'public, max-age=60').setHeader('set-cookie', ['theirs=1'])
      for (const name of orders) response.setHeader(name, 'max-age=60')
      response.end('served')
    }
  })

async function start(t: Test, auth: Record<string, unknown> = {}, more: Record<string, unknown> = {}) {
  const upstream = await upstreamOf(t)
  const gateway = await startGateway(
    t,
    {
      auth: { users, cookie: { refresh: true }, ...auth },
      services: { app: { nodes: [upstream.url] } },
      routes: [
        { id: 'app', path: '/app/*', service: 'app', auth: { credentials } },
        { id: 'maybe', path: '/maybe', service: 'app', auth: { mode: 'optional', credentials } },
        { id: 'strict', path: '/strict', service: 'app', auth: { session: 'strict', credentials } },
        { id: 'scoped', path: '/scoped', service: 'app', auth: { scopes: ['x'], credentials } }
      ],
      ...more
    },
    { files }
  )
  const page = new Browser(gateway.origin)
  const signedIn = await page.signIn()
  return { ...gateway, upstream, page, signedIn }
}

const namesSet = (answer: Answer): string[] =>
  cookiesSet(answer).map((text) => text.replace(/=.*/, '') + (/Max-Age=0;/.test(text) ? ' cleared' : ''))

t.test('a page signs in once, and is renewed in the answer to whatever it asks', async (t) => {
  const { page, signedIn, origin, upstream } = await start(t)
  t.same(namesSet(signedIn), [st, at])
  t.match(page.cookies.get(st)?.text, /; Max-Age=604800; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  // 1. While the access cookie lasts nothing is set, and what a service says about caches stands.
  const plain = await page.ask('GET', '/app/a')
  t.same(namesSet(plain), ['theirs'])
  t.equal(plain.headers.get('cache-control'), 'public, max-age=60')
  for (const name of orders) t.equal(plain.headers.get(name), 'max-age=60', name)
  // 2. Without it the answer brings the next pair, whatever the answer is, and no cache keeps it.
  const rows: [method: string, path: string, status: number, names?: string[]][] = [
    ['GET', '/app/a', 200, ['theirs', st, at]],
    ['POST', '/app/a', 200, ['theirs', st, at]],
    ['HEAD', '/app/a', 200, ['theirs', st, at]],
    ['GET', '/app/204', 204],
    ['GET', '/app/304', 304],
    ['GET', '/app/stream', 200],
    ['GET', '/app/broken', 502],
    ['GET', '/maybe', 200, ['theirs', st, at]],
    ['GET', '/strict', 200, ['theirs', st, at]],
    ['GET', '/scoped', 403],
    ['GET', '/auth/me', 200],
    ['POST', '/auth/refresh', 200]
  ]
  for (const [method, path, status, names = [st, at]] of rows) {
    page.cookies.delete(at)
    const before = page.value(st)
    const answer = await page.ask(method, path)
    t.equal(answer.status, status, `${method} ${path}`)
    t.same(namesSet(answer), names)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    for (const name of orders) t.notOk(answer.headers.has(name), name)
    t.not(page.value(st), before)
    t.equal((await page.ask('GET', '/auth/me')).body.session, signedIn.body.session, 'of the same session')
  }
  t.equal(upstream.requests.at(-1)?.headers.cookie, undefined)
  // 3. The session cookie is worth nothing in another place.
  const body = { refresh_token: page.value(st) }
  t.equal((await ask('POST', `${origin}/auth/refresh`, { json: body })).status, 400)
  t.equal((await ask('GET', `${origin}/auth/me`, { token: page.value(st) })).status, 401)
  // 4. Signing out needs nothing else.
  page.cookies.delete(at)
  t.equal((await page.ask('POST', '/auth/logout')).status, 204)
  t.equal(page.cookies.size, 0)
})

t.test('a WebSocket that is let in by a renewal gets the cookies with its 101', async (t) => {
  const { url } = await wsUpstream(t)
  const { page, origin } = await start(
    t,
    {},
    {
      services: { app: { nodes: [url] } },
      routes: [{ id: 'live', path: '/live', service: 'app', auth: { credentials } }]
    }
  )
  page.cookies.delete(at)
  const { host } = new URL(origin)
  const handshake = [
    'GET /live HTTP/1.1',
    `Host: ${host}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    `Origin: ${origin}`,
    `Cookie: ${page.header('/').cookie}`
  ]
  // A masked close frame: the service answers it and ends the connection.
  const answer = await exchange(origin, `${handshake.join('\r\n')}\r\n\r\n\x88\x80\0\0\0\0`)
  t.match(answer, /^HTTP\/1.1 101 /)
  t.match(answer, /\r\nset-cookie: __Host-toll_st=tls1\.[^\r]+\r\nset-cookie: __Host-toll_at=ey/)
})

t.test('an access cookie that expired under way is renewed by the session cookie beside it', async (t) => {
  const { page, origin } = await start(t, { access: '1s' })
  const { cookie = '' } = page.header('/')
  t.same(namesSet(await ask('GET', `${origin}/app/a`, { headers: { cookie } })), ['theirs'])
  await pause(2000)
  const renewed = await ask('GET', `${origin}/app/a`, { headers: { cookie } })
  t.equal(renewed.status, 200)
  t.same(namesSet(renewed), ['theirs', st, at])
  const alone = cookie.replace(/__Host-toll_st=[^;]*(?:; )?/, '')
  t.equal((await ask('GET', `${origin}/app/a`, { headers: { cookie: alone } })).status, 401)
})

t.test(
  'an answer that got lost signs nobody out, however late; a copy that is older ends the session',
  async (t) => {
    const { page, origin } = await start(t, { grace: '0s', unconfirmed: '0s' })
    const ask1 = (value: string) =>
      ask('GET', `${origin}/app/a`, { headers: { cookie: `${st}=${value}`, 'sec-fetch-site': 'none' } })
    const next = (answer: Answer) =>
      /__Host-toll_st=([^;]*)/.exec(answer.headers.getSetCookie().join())?.[1] ?? ''
    const first = page.value(st)
    // 1. The answer is lost, and its successor was even used: the parent gives the same successor again.
    const second = next(await ask1(first))
    page.cookies.delete(st)
    const { status } = await page.ask('GET', '/auth/me')
    t.equal(status, 200)
    t.equal(next(await ask1(first)), second)
    t.equal(next(await ask1(first)), second)
    // 2. A second renewal makes the first cookie an old one, and only the store knows.
    const third = next(await ask1(second))
    t.not(third, second)
    t.equal(next(await ask1(second)), third)
    const stolen = await ask1(first)
    t.match(stolen, { status: 401, body: { code: 'UNAUTHENTICATED' } })
    t.same(namesSet(stolen), [`${at} cleared`, `${st} cleared`])
    t.equal((await ask1(third)).status, 401, 'for both of them')
  }
)

t.test('cookies of a session that is over are taken away; those of another make are as well', async (t) => {
  const { page, origin } = await start(t)
  const kept = page.header('/').cookie!
  const session = page.value(st)
  await page.ask('POST', '/auth/logout')
  const refused: [name: string, cookie: string][] = [
    ['both cookies', kept],
    ['the session cookie alone', `${st}=${session}`],
    ['another MAC', `${st}=${session.slice(0, -4)}AAAA`],
    ['another generation', `${st}=${session.replace(/\.0\./, '.1.')}`],
    ['a second spelling of the MAC', `${st}=${session}=`],
    ['a refresh token', `${st}=${session.replace('tls1', 'tlr1')}`],
    ['nothing in it', `${st}=`]
  ]
  for (const path of ['/app/a', '/maybe', '/auth/me']) {
    for (const [name, cookie] of refused) {
      const answer = await ask('GET', origin + path, { headers: { cookie } })
      t.equal(answer.status, 401, name)
      t.notMatch(answer.text, session)
    }
    for (const [name, cookie] of refused.slice(0, 4)) {
      const answer = await ask('GET', origin + path, { headers: { cookie } })
      t.same(namesSet(answer), [`${at} cleared`, `${st} cleared`], name)
    }
  }
  const twice = await ask('GET', `${origin}/app/a`, { headers: { cookie: `${st}=${session}; ${st}=x` } })
  t.equal(twice.status, 400)
})

t.test('a renewal needs the same proof of the page as any other request', async (t) => {
  const { page, signedIn, upstream } = await start(t)
  const before = page.value(st)
  page.cookies.delete(at)
  const foreign = { 'sec-fetch-site': 'cross-site' }
  for (const headers of [foreign, { ...foreign, 'x-csrf-token': 'x' }]) {
    t.match(await page.ask('POST', '/app/a', { headers }), { status: 403 })
    t.match(await page.ask('POST', '/auth/refresh', { headers }), { status: 403 })
  }
  t.equal(page.value(st), before, 'nothing was renewed')
  t.equal(upstream.requests.length, 0)
  const headers = { ...foreign, 'x-csrf-token': String(signedIn.body.csrf_token) }
  t.match(await page.ask('POST', '/app/a', { headers }), { status: 200 })
})

t.test('idle and absolute times hold: a renewal prolongs the one and never the other', async (t) => {
  const { page } = await start(t, { access: '1s', idle: '3s', refresh: '6s' })
  const end = page.cookies.get(st)!.until
  const ages: number[] = []
  while (Date.now() < end - 600) {
    await pause(500)
    const answer = await page.ask('GET', '/app/a')
    if (answer.status !== 200) break
    ages.push(page.cookies.get(st)!.until - end)
  }
  t.ok(ages.length > 3)
  t.ok(Math.max(...ages) < 1500, 'no cookie is for later than the session')
  const { cookie = '' } = page.header('/')
  await pause(2000)
  const late = await page.ask('GET', '/app/a', { headers: { cookie } })
  t.equal(late.status, 401)
  const idle = await start(t, { access: '1s', idle: '1s' })
  const shown = idle.page.header('/')
  await pause(2200)
  const slept = await idle.page.ask('GET', '/app/a', { headers: shown })
  t.equal(slept.status, 401)
  t.same(namesSet(slept), [`${at} cleared`, `${st} cleared`])
})

t.test('while the store is away the answer is 503 and the cookies stay', async (t) => {
  const store = { driver: 'redis', url: redis.url, timeout: '200ms' }
  const { page } = await start(t, {}, { store })
  page.cookies.delete(at)
  redis.pause()
  t.teardown(() => redis.resume())
  for (const path of ['/app/a', '/maybe', '/auth/me']) {
    const answer = await page.ask('GET', path)
    t.match(answer, { status: 503, body: { code: 'STORE_UNAVAILABLE' } })
    t.same(namesSet(answer), [])
  }
  redis.resume()
  let answer = await page.ask('GET', '/app/a')
  for (let tries = 0; answer.status === 503 && tries < 50; tries += 1) {
    await pause(100)
    answer = await page.ask('GET', '/app/a')
  }
  t.equal(answer.status, 200)
  t.ok(page.cookies.has(at))
})

for (const store of [
  { driver: 'redis', url: redis.url, timeout: '2s' },
  { driver: 'embedded', path: '.toll/store' }
]) {
  t.test(
    `${store.driver}: 50 requests at two gateways share one renewal, and nobody is signed out`,
    async (t) => {
      const upstream = await upstreamOf(t)
      const directory = mkdtempSync(join(tmpdir(), 'toll-cookies-'))
      t.teardown(() => rmSync(directory, { recursive: true, force: true }))
      writeFileSync(join(directory, 'users.json'), files['users.json'])
      const ports = await freePorts(4)
      // One after the other: each start takes a whole core.
      for (const index of [0, 1]) {
        const listen = { public: `127.0.0.1:${ports[index]}`, admin: `127.0.0.1:${ports[index + 2]}` }
        const path = join(directory, `${index}.config.json`)
        const auth = { users, cookie: { refresh: true } }
        const services = { app: { nodes: [upstream.url] } }
        const routes = [{ id: 'app', path: '/app/*', service: 'app', auth: { credentials } }]
        writeFileSync(path, JSON.stringify({ listen, store, auth, services, routes }))
        await startToll(t, ['start', '--config', path], { cwd: directory, admin: listen.admin })
      }
      const origins = [0, 1].map((index) => `http://127.0.0.1:${ports[index]}`)
      const page = new Browser(origins[0]!)
      await page.signIn()
      for (let round = 0; round < 5; round += 1) {
        page.cookies.delete(at)
        const { cookie = '' } = page.header('/')
        const answers = await Promise.all(
          Array.from({ length: 50 }, (_, index) =>
            ask('GET', `${origins[index % 2]}/app/a`, { headers: { cookie } })
          )
        )
        t.same([...new Set(answers.map(({ status }) => status))], [200])
        const successors = answers.map(({ headers }) =>
          headers.getSetCookie().find((text) => text.startsWith(st))
        )
        // For how long it is kept is counted in seconds, and may be told in two of them.
        const values = successors.map((text) => text?.split(';')[0])
        t.equal(new Set(values).size, 1, 'all of them got the same successor')
        t.equal(successors[0]?.split('.')[3], String(round + 1), 'which is the next one')
        page.take(answers[round]!)
      }
      t.match(await page.ask('GET', '/auth/sessions'), { body: { sessions: [{ current: true }] } })
    }
  )
}
