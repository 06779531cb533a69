import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { ask } from '../support/client.ts'
import { closing, frame, tunnelService } from '../support/frames.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { runToll } from '../support/running.ts'
import { storeConfigs } from '../support/stores.ts'
import { httpUpstream } from '../support/upstream.ts'

const token = 'an-admin-token-of-some-length'

/** A gateway behind a trusted proxy on 127.0.0.1: each request says in X-Forwarded-For whose it is. */
async function guarded(t: Test, guard: object = {}, store?: unknown, route: object = {}) {
  const { url, requests } = await httpUpstream(t, (_request, response) => response.end('ok'))
  const config = (next: object) => ({
    ...(store !== undefined && { store }),
    admin: { token },
    guard: { trustedProxies: ['127.0.0.1'], ...next },
    services: { a: { nodes: [url] } },
    routes: [{ id: 'a', path: '/*', service: 'a', auth: 'none', ...route }]
  })
  const started = await startGateway(t, config(guard))
  const from = async (client: string, path = '/x') =>
    (await ask('GET', started.origin + path, { headers: { 'x-forwarded-for': client } })).status
  const admin = (method: string, path: string, json?: unknown) =>
    ask(method, `${started.admin}/admin/bans${path}`, { token, ...(json !== undefined && { json }) })
  const toll = async (...args: string[]) => {
    const env = { TOLL_ADMIN_URL: started.admin, TOLL_ADMIN_TOKEN: token }
    const { ended, output } = runToll(t, ['ban', ...args], {}, env)
    return { code: await ended, out: output.out.trim(), err: output.err }
  }
  return {
    ...started,
    requests,
    from,
    admin,
    toll,
    reguard: (next: object) => started.reconfigure(config(next))
  }
}

/** Two gateways on one store of each driver. */
async function pairs(t: Test, guard: object = {}) {
  const made = []
  for (const store of await storeConfigs(t)) {
    const shared = store.driver === 'embedded' ? { ...store, path: `${t.testdir()}/store` } : store
    made.push([await guarded(t, guard, shared), await guarded(t, guard, shared)] as const)
  }
  return made
}

async function until(holds: () => Promise<boolean>, within = 3000): Promise<number> {
  const began = performance.now()
  while (performance.now() - began < within) {
    if (await holds()) return performance.now() - began
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`it did not come to that within ${within} ms`)
}

t.test('a ban holds at every gateway within a second, ends on time, and is lifted at once', async (t) => {
  for (const [one, two] of await pairs(t)) {
    t.same([await one.from('192.0.2.7'), await two.from('192.0.2.7')], [200, 200])
    const placed = await one.admin('POST', '', { ip: '192.0.2.7', reason: 'scans', ttl: '1h' })
    t.equal(placed.status, 201)
    t.match(placed.body, { network: '192.0.2.7', reason: 'scans', level: 1, by: 'admin-token' })
    t.equal(placed.headers.get('location'), '/admin/bans/192.0.2.7')
    t.equal(await one.from('192.0.2.7'), 403)
    t.ok((await until(async () => (await two.from('192.0.2.7')) === 403)) < 1000)
    t.equal(await two.from('192.0.2.8'), 200)
    t.match((await two.admin('GET', '')).body, { total: 1, bans: [{ network: '192.0.2.7' }] })
    t.equal((await two.admin('DELETE', '/192.0.2.7')).status, 204)
    t.equal(await two.from('192.0.2.7'), 200)
    t.ok((await until(async () => (await one.from('192.0.2.7')) === 200)) < 1000)
    // It ends by itself.
    const began = performance.now()
    await one.admin('POST', '', { ip: '192.0.2.9', ttl: '1s' })
    await until(async () => (await two.from('192.0.2.9')) === 403)
    await until(async () => (await two.from('192.0.2.9')) === 200)
    const lasted = performance.now() - began
    t.ok(lasted > 950 && lasted < 2000, `${Math.round(lasted)} ms`)
    t.equal(await one.from('192.0.2.9'), 200)
    t.equal((await one.admin('DELETE', '/192.0.2.9')).status, 404)
  }
})

t.test('a ban ends the WebSockets of its client, and of nobody else', async (t) => {
  const up = await tunnelService(t)
  const { origin, admin } = await startGateway(t, {
    admin: { token },
    guard: { trustedProxies: ['127.0.0.1'] },
    services: { a: { nodes: [up.url] } },
    routes: [{ id: 'a', path: '/*', service: 'a', auth: 'none' }]
  })
  const opened = (client: string) => up.open(origin, { headers: `X-Forwarded-For: ${client}\r\n` })
  const [banned, other] = [await opened('192.0.2.7'), await opened('192.0.2.8')]
  await ask('POST', `${admin}/admin/bans`, { token, json: { ip: '192.0.2.7', ttl: '1h' } })
  await banned.client.ended()
  t.same(banned.client.received.subarray(-4), closing(1008), 'told that it is against the rules')
  other.client.socket.write(frame(1, 'still here'))
  await other.service.got(1)
  t.equal(other.client.ending, undefined)
})

t.test('whoever is banned is told until when, and nothing else', async (t) => {
  const { origin, admin, requests, log } = await guarded(t)
  await admin('POST', '', { ip: '192.0.2.7', reason: 'scans of ours', ttl: '1h' })
  const headers = { 'x-forwarded-for': '192.0.2.7' }
  for (const path of ['/x', '/auth/login', '/nowhere', '/a%2fb']) {
    const refused = await ask('GET', origin + path, { headers })
    t.equal(refused.status, 403, path)
    t.match(refused.body, { code: 'BANNED', detail: 'This address may not use the gateway.' })
    t.notMatch(refused.text, 'scans')
    t.match(refused.headers.get('retry-after'), /^3(600|59\d)$/)
    t.equal(refused.headers.get('connection'), 'close')
  }
  t.equal(requests.length, 0)
  t.match(
    log().find(({ verdict }) => verdict === 'BANNED'),
    { reason: 'banned', client: '192.0.2.7', status: 403 }
  )
})

t.test('an IPv6 address is banned with its /64, and a range with all that is in it', async (t) => {
  const { from, admin } = await guarded(t)
  t.match((await admin('POST', '', { ip: '2001:db8::1' })).body, { network: '2001:db8::/64' })
  t.same([await from('2001:db8::ffff:1'), await from('2001:db8:0:1::1')], [403, 200])
  t.equal((await admin('DELETE', '/2001:db8::5')).status, 204, 'by any address of it')
  t.equal(await from('2001:db8::1'), 200)
  t.equal((await admin('POST', '', { cidr: '198.51.100.0/24' })).status, 201)
  t.same(
    [await from('198.51.100.1'), await from('198.51.100.255'), await from('198.51.101.1')],
    [403, 403, 200]
  )
  t.equal((await admin('POST', '', { cidr: '2001:db8:f::/48' })).status, 201)
  t.same([await from('2001:db8:f:9::1'), await from('2001:db8:e::1')], [403, 200])
  t.equal((await admin('DELETE', '/198.51.100.0/24')).status, 204)
  t.equal(await from('198.51.100.1'), 200)
})

t.test(
  'who is allowed is never banned, and what is denied is denied, both after a reload as well',
  async (t) => {
    const { from, admin, reguard } = await guarded(t, {
      allow: ['192.0.2.0/24'],
      deny: ['192.0.2.7', '198.51.100.0/24']
    })
    t.same([await from('192.0.2.7'), await from('198.51.100.7'), await from('203.0.113.1')], [200, 403, 200])
    const refused = await admin('POST', '', { ip: '192.0.2.9' })
    t.equal(refused.status, 400)
    t.match(refused.body.detail, /^192\.0\.2\.9 is in guard\.allow, which is never banned/)
    await admin('POST', '', { cidr: '192.0.0.0/16' })
    t.same([await from('192.0.2.9'), await from('192.0.3.9')], [200, 403], 'a wider ban leaves them alone')
    await reguard({ deny: ['203.0.113.0/24'] })
    t.same([await from('192.0.2.9'), await from('198.51.100.7'), await from('203.0.113.1')], [403, 200, 403])
  }
)

t.test('a header from a peer that is no trusted proxy changes nothing', async (t) => {
  const { from, admin, reguard } = await guarded(t)
  await reguard({ trustedProxies: ['192.0.2.1'] })
  await admin('POST', '', { ip: '192.0.2.7' })
  t.equal(await from('192.0.2.7'), 200, 'the peer is 127.0.0.1, whatever it says')
  await admin('POST', '', { ip: '127.0.0.1' })
  t.equal(await from('203.0.113.9'), 403)
})

t.test('dropped clients get no answer at all', async (t) => {
  const { gateway, from, admin, log } = await guarded(t, { ban: { action: 'drop' } })
  await admin('POST', '', { ip: '192.0.2.7' })
  const { port } = new URL(gateway.addresses.public)
  const got = await new Promise<string>((resolve) => {
    let seen = ''
    const socket = connect(Number(port), '127.0.0.1', () =>
      socket.write('GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n')
    )
    socket.on('data', (chunk) => {
      seen += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(seen))
  })
  t.equal(got, '')
  t.equal(await from('192.0.2.8'), 200)
  t.match(
    log().find(({ client }) => client === '192.0.2.7'),
    { verdict: 'BANNED', reason: 'banned', status: 403 }
  )
})

t.test('a route lets its own clients in and nobody else', async (t) => {
  const clients = { allow: ['192.0.2.0/24', '2001:db8::/32'], deny: ['192.0.2.13'] }
  const { from } = await guarded(t, {}, undefined, { clients })
  t.same(
    [
      await from('192.0.2.1'),
      await from('192.0.2.13'),
      await from('203.0.113.1'),
      await from('2001:db8:9::1')
    ],
    [200, 403, 403, 200]
  )
})

t.test('bans outlive a restart, and a Redis that was away', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = { driver: 'redis', url: redis.url, timeout: '200ms' }
  const [one, two] = [await guarded(t, {}, store), await guarded(t, {}, store)]
  await one.admin('POST', '', { ip: '192.0.2.7' })
  await until(async () => (await two.from('192.0.2.7')) === 403)
  await one.stop()
  const three = await guarded(t, {}, store)
  t.equal(await three.from('192.0.2.7'), 403, 'read at the start')
  await redis.kill()
  t.same([await two.from('192.0.2.7'), await two.from('192.0.2.8')], [403, 200], 'what is known goes on')
  const refused = await two.admin('POST', '', { ip: '192.0.2.8' })
  t.equal(refused.status, 503)
})

t.test('who did what is kept, for every gateway to read', async (t) => {
  for (const [one, two] of await pairs(t)) {
    await one.admin('POST', '', { ip: '192.0.2.7', reason: 'scans' })
    await two.admin('DELETE', '/192.0.2.7?forget=true')
    const { events } = (await one.admin('GET', '/events')).body as { events: readonly object[] }
    t.match(events, [
      { what: 'ban.remove', to: '192.0.2.7', by: 'admin-token', from: '127.0.0.1', detail: { forget: true } },
      { what: 'ban.add', to: '192.0.2.7', by: 'admin-token', from: '127.0.0.1', detail: { reason: 'scans' } }
    ])
  }
})

t.test('what makes no sense is refused with a sentence', async (t) => {
  const { admin, toll } = await guarded(t)
  const cases: [unknown, RegExp][] = [
    [[], /JSON object/],
    [{}, /either "ip" or "cidr"/],
    [{ ip: '192.0.2.7', cidr: '192.0.2.0/24' }, /either "ip" or "cidr"/],
    [{ ip: '192.0.2' }, /"ip" is not an address/],
    [{ ip: '192.0.2.0/24' }, /"ip" is not an address/],
    [{ cidr: '192.0.2.0/33' }, /"cidr" is not a range/],
    [{ cidr: '0.0.0.0/0' }, /wider than a \/8/],
    [{ cidr: '::/0' }, /wider than a \/19/],
    [{ ip: '192.0.2.7', ttl: 'forever' }, /"ttl" is a duration/],
    [{ ip: '192.0.2.7', ttl: '10000d' }, /from 1s to 366d/],
    [{ ip: '192.0.2.7', reason: 'a\nb' }, /printable/],
    [{ ip: '192.0.2.7', why: 'x' }, /"why" is not known here/]
  ]
  for (const [body, sentence] of cases) {
    const answer = await admin('POST', '', body)
    t.equal(answer.status, 400, JSON.stringify(body))
    t.match(answer.body.detail, sentence)
  }
  t.equal((await admin('DELETE', '/nonsense')).status, 400)
  t.match(await toll('ls'), { code: 0, out: 'Nobody is banned.' })
  t.match(
    (await toll('add', '192.0.2.7', '--for', '2h', '--reason', 'scans')).out,
    /^192\.0\.2\.7 is banned until 2/
  )
  t.match((await toll('ls')).out, /^192\.0\.2\.7\t2\S+Z\t1\tadmin-token\tscans$/)
  t.match(await toll('rm', '192.0.2.7'), { code: 0, out: '192.0.2.7 may come in again.' })
  t.match(await toll('rm', '192.0.2.7'), { code: 1, err: /There is no ban of "192\.0\.2\.7"/ })
  t.match((await toll('events')).out, /ban\.remove\t192\.0\.2\.7\tadmin-token/)
})
