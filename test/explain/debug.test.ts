import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'

const token = 'an-admin-token-of-some-length'
const up = await httpUpstream(t, ({ rawHeaders }, response) => response.end(JSON.stringify(rawHeaders)))
const { origin, log } = await startGateway(t, {
  admin: { token },
  guard: { deny: ['203.0.113.0/24'], trustedProxies: ['127.0.0.1'] },
  services: { a: { nodes: [{ url: up.url, id: 'only' }] }, gone: { nodes: ['http://127.0.0.1:9'] } },
  routes: [
    { id: 'a', path: '/a/*', methods: ['GET'], service: 'a', auth: 'none', limit: { qps: 100, by: 'route' } },
    { id: 'closed', path: '/closed', service: 'a', auth: 'required' },
    { id: 'gone', path: '/gone', service: 'gone', auth: 'none' }
  ],
  auth: {}
})

async function debugged(path: string, { method = 'GET', headers = {}, secret = token } = {}) {
  const answer = await ask(method, origin + path, { headers: { ...headers, 'X-Toll-Debug': secret } })
  const told = answer.headers.get('x-toll-debug')
  return { ...answer, told: told === null ? undefined : (JSON.parse(told) as object) }
}

t.test('whoever holds the admin token is told what became of a request', async (t) => {
  const { status, told, text } = await debugged('/a/x')
  t.equal(status, 200)
  t.match(told, { verdict: 'allowed', route: 'a', service: 'a', node: 'only', candidates: [{ id: 'a' }] })
  t.match(told, { client: '127.0.0.1', upstream: Number, duration: Number })
  t.notMatch(text, /toll-debug/i, 'the service does not see it')
  t.notMatch(JSON.stringify(told), /127\.0\.0\.1:/, 'nor does anybody see its address')
})

t.test('a refusal says why as well', async (t) => {
  t.match(await debugged('/closed'), {
    status: 401,
    told: { verdict: 'UNAUTHENTICATED', reason: 'missing', route: 'closed' }
  })
  t.match(await debugged('/a/x', { method: 'POST' }), {
    status: 405,
    told: { verdict: 'METHOD_NOT_ALLOWED', candidates: [{ id: 'a', why: 'it takes GET, not POST' }] }
  })
  t.match(await debugged('/nowhere'), { status: 404, told: { candidates: [] } })
  t.match(await debugged('/a/x', { headers: { 'X-Forwarded-For': '203.0.113.7' } }), {
    status: 403,
    told: { verdict: 'BANNED', reason: 'denied', client: '203.0.113.7' }
  })
  const gone = await debugged('/gone')
  t.match(gone, { status: 502, told: { route: 'gone' } })
  t.notMatch(JSON.stringify(gone.told), '127.0.0.1:9')
})

t.test('nobody else is told anything, nor that there is anything to tell', async (t) => {
  for (const secret of ['1', '', `${token}x`, token.toUpperCase()]) {
    const { status, told, text } = await debugged('/a/x', { secret })
    t.equal(status, 200)
    t.equal(told, undefined)
    t.notMatch(text, /toll-debug/i)
  }
  t.notMatch(JSON.stringify(log()), token)
})
