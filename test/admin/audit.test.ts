import t, { type Test } from 'tap'
import { Audit } from '../../services/audit/audit.ts'
import { AuditTrail } from '../../services/audit/trail.ts'
import { adminCalls, lookers } from '../support/admin-calls.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { eventually } from '../support/own-process.ts'
import { startRedis } from '../support/redis.ts'
import { openStores } from '../support/stores.ts'
import { usersFile } from '../support/users.ts'

const token = 'operate-operate-operate-operate'
const readToken = 'read-read-read-read-read-read'

interface Event {
  readonly what: string
  readonly to: string
  readonly by: string
  readonly status?: number
  readonly requestId?: string
}

async function start(t: Test, more: Record<string, unknown> = {}) {
  const started = await startGateway(
    t,
    {
      admin: { token, readToken },
      auth: { issuer: 'https://gw.example', audience: 'api', users: { driver: 'file', path: 'users.json' } },
      services: { hello: { nodes: ['http://127.0.0.1:9'] } },
      routes: [{ id: 'open', path: '/open/*', service: 'hello', auth: 'none', limit: { qps: 9 } }],
      ...more
    },
    { files: { 'users.json': await usersFile({ anna: { password: 'a password' } }) } }
  )
  const call = (method: string, path: string, json?: unknown, headers = {}) =>
    ask(method, started.admin + path, { token, headers, ...(json !== undefined && { json }) })
  const events = async (query = ''): Promise<readonly Event[]> =>
    (await call('GET', `/admin/audit?limit=1000${query}`)).body.events as readonly Event[]
  return { ...started, call, events }
}

t.test(
  'every call that takes an operator is noted once, whatever became of it; none that only looks is',
  async (t) => {
    const { call, events } = await start(t)
    const statuses = new Map<string, number>()
    for (const { method, url } of adminCalls()) {
      const id = `walk ${method} ${url}`.replaceAll(/[^\w]+/g, '-')
      const { status } = await call(method, url, method === 'GET' ? undefined : {}, { 'x-request-id': id })
      statuses.set(`${method} ${url} ${id}`, status)
    }
    const noted = await events()
    for (const [key, status] of statuses) {
      const [method = '', url = '', id = ''] = key.split(' ')
      const own = noted.filter(({ requestId }) => requestId === id)
      const isLooking = method === 'GET' || lookers.has(`${method} ${url}`)
      t.equal(own.length, isLooking ? 0 : 1, `${method} ${url}`)
      if (!isLooking) t.match(own, [{ status, by: 'admin-token', from: '127.0.0.1' }], `${method} ${url}`)
    }
  }
)

t.test('a note says what was done to what, and the trail is asked by that and by whom', async (t) => {
  const { call, events, admin } = await start(t)
  await call('POST', '/admin/bans', { ip: '192.0.2.7', reason: 'scans', ttl: '1h' })
  await call('PUT', '/admin/limits/route:open', { qps: 5 })
  await call('DELETE', '/admin/sessions/nothing')
  await ask('DELETE', `${admin}/admin/sessions/nothing`, { token: readToken })
  const [refused, kick, , ban] = await events()
  t.match(refused, { what: 'session.kick', to: 'nothing', by: 'read-token', status: 403 })
  t.match(kick, { what: 'session.kick', to: 'nothing', by: 'admin-token', status: 404 })
  t.match(ban, { what: 'ban.add', to: '192.0.2.7', status: 201, detail: { reason: 'scans', until: /Z$/ } })
  t.equal((await events('&what=ban.')).length, 1)
  t.same(
    (await events('&by=read-token')).map(({ by }) => by),
    ['read-token']
  )
  const { body } = await call('GET', '/admin/bans/events')
  t.equal((body.events as object[]).length, 1, 'a ban is not noted twice')
})

t.test('who has no role at all leaves nothing in the trail', async (t) => {
  const { admin, events } = await start(t)
  t.equal((await ask('DELETE', `${admin}/admin/sessions/nothing`)).status, 401)
  t.equal((await ask('DELETE', `${admin}/admin/sessions/nothing`, { token: 'x'.repeat(40) })).status, 401)
  t.same(await events(), [])
})

t.test(
  'a store that is away stops no deed that can do without it, and gets the note when it is back',
  async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const { call, events, log } = await start(t, {
      store: { driver: 'redis', url: redis.url, timeout: '300ms' }
    })
    redis.pause()
    const { status } = await call('POST', '/admin/config/reload')
    t.equal(status, 200)
    const warned = log().filter(({ msg }) => /audit trail later/.test(String(msg)))
    t.match(warned, [{ level: /warn|40/, what: 'config.reload', by: 'admin-token', status: 200 }])
    t.equal((await call('GET', '/admin/audit')).status, 503)
    redis.resume()
    await eventually('the note is kept', async () => {
      const answer = await call('GET', '/admin/audit')
      return answer.status === 200 && answer.body.pending === 0
    })
    t.match(await events(), [{ what: 'config.reload', status: 200 }])
  }
)

t.test('notes that wait are kept in order and in bounds', async (t) => {
  const [store] = await openStores(t)
  let isAway = true
  const audit = new Audit(store!)
  const kept = audit.note.bind(audit)
  audit.note = (deed) => (isAway ? Promise.reject(new Error('away')) : kept(deed))
  let warnings = 0
  const trail = new AuditTrail(audit, { warn: () => void warnings++ }, 5)
  t.teardown(() => trail.close())
  for (let index = 0; index < 1010; index += 1) {
    await trail.note({ at: new Date(index).toISOString(), by: 'anna', what: 'test.do', to: String(index) })
  }
  t.equal(trail.pending, 1000)
  t.equal(warnings, 1010, 'each is in the log')
  isAway = false
  await eventually('all are kept', () => trail.pending === 0)
  const deeds = await trail.list(1000)
  t.equal(deeds.length, 1000)
  t.equal(deeds[0]!.to, '1009')
  t.equal(deeds.at(-1)!.to, '10')
})
