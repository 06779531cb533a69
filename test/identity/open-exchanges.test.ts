import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { addKey, removeKey } from '../../services/identity/api-keys/key-editing.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { httpUpstream, RawClient, rawUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'
import { closed, opened, wsUpstream } from '../support/websocket.ts'

const redis = await startRedis()
t.teardown(() => redis.stop())
const directory = mkdtempSync(join(tmpdir(), 'toll-open-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))
const people = { kesa: { password: '123' }, ben: { password: '456' } }
const usersPath = join(directory, 'users.json')
writeFileSync(usersPath, await usersFile(people))

const configOf = (nodes: readonly string[], { auth = {}, route = {} as object | string } = {}) => ({
  store: { driver: 'redis', url: redis.url, timeout: '2s' },
  auth: {
    users: { driver: 'file', path: usersPath },
    keys: { path: join(directory, 'keys.json') },
    ...auth
  },
  services: { up: { nodes } },
  routes: [
    { id: 'all', path: '/*', service: 'up', auth: route },
    { id: 'open', path: '/open/*', service: 'up', auth: 'none' }
  ]
})

type Config = ReturnType<typeof configOf>

const start = async (t: Test, config: Config) => {
  const gateway = await startGateway(t, config)
  const token = readFileSync(join(gateway.directory, '.toll/admin-token'), 'utf8').trim()
  const kick = async (path: string) => {
    const { status } = await ask('DELETE', `${gateway.admin}/admin/${path}`, { token })
    if (status !== 200 && status !== 204) throw new Error(`kicking answered ${status}`)
  }
  return { ...gateway, kick }
}

interface Signed {
  readonly token: string
  readonly session: string
}

async function login(origin: string, username: keyof typeof people = 'kesa'): Promise<Signed> {
  const { body } = await ask('POST', `${origin}/auth/login`, {
    json: { username, password: people[username].password }
  })
  return { token: String(body.access_token), session: String(body.session) }
}

const socketTo = async (origin: string, { token }: Signed, path = '/') => {
  const headers = { authorization: `Bearer ${token}` }
  const socket = new WebSocket(origin.replace('http', 'ws') + path, { headers })
  await opened(socket)
  return socket
}

const handshake = ({ token }: Signed): string =>
  `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

const accepted =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'

/** A service that agrees to WebSocket, says `words` and then neither answers nor closes. */
const stubborn = (t: Test, words = '') =>
  rawUpstream(t, (connection) => {
    if (connection.socket.bytesWritten === 0 && connection.received.includes('\r\n\r\n')) {
      connection.socket.write(accepted + words, 'latin1')
    }
  })

/** The close frame of the gateway: 4401 without a reason, to a client. */
const farewell = '\x88\x02\x11\x31'

const within = async (limit: number, condition: () => boolean): Promise<number> => {
  const from = performance.now()
  while (!condition()) {
    if (performance.now() - from > limit) throw new Error('it took too long')
    await new Promise((resolve) => setTimeout(resolve, 3))
  }
  return performance.now() - from
}

t.test(
  'who is kicked at one gateway loses 200 WebSockets at two within a second; nobody else does',
  async (t) => {
    const { url, sockets } = await wsUpstream(t)
    const codes: number[] = []
    sockets.on('connection', (socket) => {
      socket.on('message', (data) => socket.send(data as Buffer))
      socket.on('close', (code) => codes.push(code))
    })
    const [a, b] = [await start(t, configOf([url])), await start(t, configOf([url]))]
    const [kicked, other, same] = [await login(a.origin), await login(b.origin, 'ben'), await login(a.origin)]
    const ends: Promise<{ code: number }>[] = []
    for (let index = 0; index < 200; index += 1) {
      ends.push(closed(await socketTo(index % 2 === 0 ? a.origin : b.origin, kicked)))
    }
    const staying = [await socketTo(b.origin, other), await socketTo(b.origin, same)]
    const from = performance.now()
    await a.kick(`sessions/${kicked.session}`)
    const found = await Promise.all(ends)
    const took = performance.now() - from
    t.same([...new Set(found.map(({ code }) => code))], [4401])
    // A gateway promises a second; here one process is two gateways, the service and all clients.
    t.ok(took < 3000, `took ${took} ms`)
    await within(3000, () => codes.length === 200)
    t.same([...new Set(codes)], [4401], 'the service is told as well')
    for (const socket of staying) {
      socket.send('still here')
      await new Promise((resolve) => socket.once('message', resolve))
      socket.terminate()
    }
  }
)

t.test('every way to end a session closes what it has open', async (t) => {
  const { url } = await wsUpstream(t)
  const { origin, kick } = await start(t, configOf([url]))
  const ways: Record<string, (signed: Signed) => Promise<unknown>> = {
    'kick the user': () => kick('users/kesa/sessions'),
    'sign out': ({ token }) => ask('POST', `${origin}/auth/logout`, { token }),
    'sign out everywhere': ({ token }) => ask('POST', `${origin}/auth/logout-all`, { token }),
    'end one of the own sessions': ({ token, session }) =>
      ask('DELETE', `${origin}/auth/sessions/${session}`, { token }),
    'another password': async () =>
      writeFileSync(usersPath, await usersFile({ ...people, kesa: { password: 'new' } }))
  }
  for (const [name, end] of Object.entries(ways)) {
    const signed = await login(origin)
    const socket = await socketTo(origin, signed)
    const anonymous = new WebSocket(`${origin.replace('http', 'ws')}/open/x`)
    await opened(anonymous)
    const over = closed(socket)
    await end(signed)
    t.same((await over).code, 4401, name)
    t.equal(anonymous.readyState, WebSocket.OPEN, 'a route for anybody has nothing to do with it')
    anonymous.terminate()
  }
  writeFileSync(usersPath, await usersFile(people))
})

t.test(
  'a stateless route looks at no session for a request, but a WebSocket would outlive every token',
  async (t) => {
    const { url } = await wsUpstream(t)
    const { origin, kick } = await start(t, configOf([url], { route: { session: 'stateless' } }))
    const signed = await login(origin)
    const over = closed(await socketTo(origin, signed))
    await kick(`sessions/${signed.session}`)
    t.equal((await over).code, 4401)
  }
)

t.test('an API key that is removed from its file closes what it opened', async (t) => {
  const { url } = await wsUpstream(t)
  const path = join(directory, 'api-keys.json')
  const owned = { owner: 'ci', scopes: [], roles: [], expires: undefined, note: undefined }
  const [{ text, record }, other] = [
    await addKey(path, owned, Date.now()),
    await addKey(path, owned, Date.now())
  ]
  const { origin } = await start(
    t,
    configOf([url], { auth: { apiKeys: { path } }, route: { credentials: ['api-key'] } })
  )
  const open = async (key: string) => {
    const socket = new WebSocket(origin.replace('http', 'ws'), { headers: { 'x-api-key': key } })
    await opened(socket)
    return socket
  }
  const over = closed(await open(text))
  const staying = await open(other.text)
  await removeKey(path, record.id)
  t.equal((await over).code, 4401)
  t.equal(staying.readyState, WebSocket.OPEN)
  staying.terminate()
})

t.test('what was opened under an older config is closed as well', async (t) => {
  const { url } = await wsUpstream(t)
  const config = configOf([url])
  const { origin, kick, reconfigure } = await start(t, config)
  const signed = await login(origin)
  const over = [closed(await socketTo(origin, signed))]
  // 1. The same identity under another config; 2. another identity, and time for the first one to be closed.
  await reconfigure({ ...config, services: { up: { nodes: [url] }, more: { nodes: [url] } } })
  over.push(closed(await socketTo(origin, signed)))
  await reconfigure({ ...config, auth: { ...config.auth, access: '14m' } })
  await new Promise((resolve) => setTimeout(resolve, 200))
  await kick(`sessions/${signed.session}`)
  for (const { code } of await Promise.all(over)) t.equal(code, 4401)
})

t.test('who was cut off from the store for long closes what nobody can vouch for any more', async (t) => {
  const { url } = await wsUpstream(t)
  const own = await startRedis()
  t.teardown(() => own.stop())
  const at = (access: string) => ({
    ...configOf([url], { auth: { access }, route: { onStale: 'open' } }),
    store: { driver: 'redis', url: own.url, timeout: '2s' }
  })
  // 1. Tokens of before, and a gateway that has known nothing of revocations since: it begins with a dead store.
  // A token may live a second less than it says, and the reload waits two for the store.
  const { origin, reconfigure } = await start(t, at('5s'))
  const short = await login(origin)
  await reconfigure(at('15m'))
  const long = await login(origin, 'ben')
  const { auth, ...without } = at('15m')
  await reconfigure({ ...without, routes: [] })
  await own.kill()
  t.match(await reconfigure(at('15m')), { outcome: 'applied' })
  const over = closed(await socketTo(origin, short))
  const inDate = await socketTo(origin, long)
  // 2. One token expires in the silence: had its session been ended meanwhile, no list would say so.
  await new Promise((resolve) => setTimeout(resolve, 3500))
  await own.restart()
  t.equal((await over).code, 4401)
  t.equal(inDate.readyState, WebSocket.OPEN, 'what the list would have said of this one it says now')
  inDate.terminate()
})

t.test('a short silence of the store closes nothing, expired or not', async (t) => {
  const { url } = await wsUpstream(t)
  const own = await startRedis()
  t.teardown(() => own.stop())
  const store = { driver: 'redis', url: own.url, timeout: '2s' }
  const { origin, admin } = await start(t, { ...configOf([url], { auth: { access: '1s' } }), store })
  const socket = await socketTo(origin, await login(origin))
  await own.kill()
  await new Promise((resolve) => setTimeout(resolve, 1500))
  await own.restart()
  await new Promise((resolve) => setTimeout(resolve, 1000))
  t.match((await ask('GET', `${admin}/readyz?verbose`)).body, { revocations: { fresh: true } })
  t.equal(socket.readyState, WebSocket.OPEN)
  socket.terminate()
})

t.test(
  'a close frame waits for the end of the frame under way, not for the end of the message',
  async (t) => {
    const up = await stubborn(t, '\x01\x03one\x00\x06two')
    const { origin, kick } = await start(t, configOf([up.url]))
    const signed = await login(origin)
    const client = new RawClient(origin).write(handshake(signed))
    await client.until(/two$/)
    await kick(`sessions/${signed.session}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.notMatch(client.received, farewell)
    up.connections[0]!.socket.write('end\x81\x05after', 'latin1')
    const received = await client.ended()
    t.ok(received.endsWith(`\x01\x03one\x00\x06twoend${farewell}`), 'nothing after the farewell')
  }
)

t.test('neither half a frame nor a service that ignores the farewell keeps a kicked client', async (t) => {
  for (const words of ['', '\x82\x7e\x40\x00half']) {
    const up = await stubborn(t, words)
    const { origin, kick } = await start(t, configOf([up.url]))
    const signed = await login(origin)
    const client = new RawClient(origin).write(handshake(signed))
    await client.until(words === '' ? /\r\n\r\n/ : /half/)
    let isGone = false
    up.connections[0]!.socket.once('close', () => {
      isGone = true
    })
    const from = performance.now()
    await kick(`sessions/${signed.session}`)
    const received = await client.ended()
    t.ok(performance.now() - from < 1000)
    t.equal(received.endsWith(farewell), words === '')
    // A masked frame of the client that comes too late.
    client.write('\x81\x84\0\0\0\0late')
    // The service never closes its side: what it goes on to say meets a reset.
    await within(1000, () => {
      up.connections[0]!.socket.write('on')
      return isGone
    })
    t.notMatch(up.connections[0]!.received, /late/)
    t.match(up.connections[0]!.received, '\x88\x82\0\0\0\0\x11\x31')
  }
})

/** Sends one request with a token and waits until the service has it and `seen` has arrived. */
async function answerUnderWay(
  t: Test,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
  { version = '1.1', begins = true, request = '', expiry = {} } = {}
) {
  const up = await httpUpstream(t, listener)
  const gateway = await start(t, configOf([up.url], expiry))
  const signed = await login(gateway.origin)
  const line = request === '' ? 'GET / HTTP' : `${request.split(' ')[0]} / HTTP`
  const rest = request === '' ? '' : request.slice(request.indexOf(' ') + 1)
  const client = new RawClient(gateway.origin).write(
    `${line}/${version}\r\nHost: a\r\nAuthorization: Bearer ${signed.token}\r\n${rest === '' ? '\r\n' : rest}`
  )
  await within(5000, () => up.requests.length === 1)
  let isCancelled = false
  up.requests[0]!.socket.once('close', () => {
    isCancelled = true
  })
  if (begins) await client.until(/first/)
  const kicked = () => gateway.kick(`sessions/${signed.session}`)
  return { client, kicked, cancelled: () => within(1000, () => isCancelled), ...gateway }
}

t.test('an event stream ends cleanly, and the connection serves on', async (t) => {
  const { client, kicked, cancelled, log } = await answerUnderWay(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' }).write('data: first\n\n')
  })
  await kicked()
  await client.until(/\r\n0\r\n\r\n$/, 1000)
  await cancelled()
  client.received = ''
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 401 /)
  t.match(
    log().find(({ reason }) => reason === 'revoked.sid'),
    { verdict: 'UNAUTHENTICATED', status: 200 }
  )
  client.close()
})

t.test('any other answer breaks off, so that nobody takes it for whole', async (t) => {
  const kinds: [string, object, string][] = [
    ['chunks', {}, '1.1'],
    ['with a length', { 'content-length': '1000' }, '1.1'],
    ['events with a length', { 'content-type': 'text/event-stream', 'content-length': '1000' }, '1.1'],
    ['to the end of the connection', {}, '1.0']
  ]
  for (const [name, headers, version] of kinds) {
    const { client, kicked, cancelled } = await answerUnderWay(
      t,
      (_request, response) => {
        response.writeHead(200, { ...headers }).write('first')
      },
      { version }
    )
    let error: NodeJS.ErrnoException | undefined
    client.socket.once('error', (caught) => {
      error = caught
    })
    await kicked()
    const received = await client.ended(1000)
    t.ok(/first(\r\n)?$/.test(received), name)
    if (version === '1.0') t.equal(error?.code, 'ECONNRESET')
    await cancelled()
  }
})

t.test('who waits for an answer, or still sends a body, is told that the session is over', async (t) => {
  const upload = 'POST Content-Length: 1000000\r\n\r\nfirst'
  for (const request of ['', upload, 'POST Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n']) {
    const { client, kicked, cancelled } = await answerUnderWay(t, () => {}, { begins: false, request })
    await kicked()
    const answer = await client.until(/\}$/, 1000)
    t.match(answer, /^HTTP\/1\.1 401 .*WWW-Authenticate: [^\r]*error="invalid_token"/is)
    t.match(answer, /"code":"UNAUTHENTICATED"/)
    await cancelled()
    client.close()
  }
})

t.test('with onExpiry "close" a stream ends with its token, without it lives on', async (t) => {
  const { url } = await wsUpstream(t)
  const expiry = { auth: { access: '2s' }, route: { onExpiry: 'close' } }
  const closing = await start(t, configOf([url], expiry))
  const keeping = await start(t, configOf([url], { auth: { access: '2s' } }))
  const kept = await socketTo(keeping.origin, await login(keeping.origin))
  const signed = await login(closing.origin)
  const from = performance.now()
  const over = closed(await socketTo(closing.origin, signed))
  const { client } = await answerUnderWay(
    t,
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n')
    },
    { expiry }
  )
  t.equal((await over).code, 4401)
  t.ok(performance.now() - from > 500)
  await client.until(/\r\n0\r\n\r\n$/, 4000)
  client.close()
  t.equal(kept.readyState, WebSocket.OPEN)
  kept.terminate()
})
