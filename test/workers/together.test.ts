import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { eventually } from '../support/own-process.ts'
import { usersFile } from '../support/users.ts'
import { ask, type Site, startSite } from './site.ts'

/** Which process has answered: ids of requests begin with something of its own, which may have a dash in it. */
const whoOf = (id: unknown): string => String(id).replace(/-[^-]*$/, '')

/** Answers to one request after the other, each over a connection of its own, with who gave them. */
async function answers(site: Site, path: string, count: number) {
  const all: { readonly status: number; readonly who: string }[] = []
  for (let at = 0; at < count; at += 1) {
    const { statusCode = 0, headers } = await ask(`${site.origin}${path}`)
    all.push({ status: statusCode, who: whoOf(headers['x-request-id']) })
  }
  return all
}

t.test('connections go to the workers in turns', async (t) => {
  const site = await startSite(t)
  const counts = new Map<string, number>()
  for (const { who } of await answers(site, '/x', 20)) counts.set(who, (counts.get(who) ?? 0) + 1)
  t.equal(counts.size, 2)
  t.ok(
    [...counts.values()].every((count) => count >= 5),
    [...counts.values()].join(' and ')
  )
})

/** Twenty requests in turns to both; none that were counted without the store, which may be late on a machine that has much to do. */
async function counted(t: Test, limit: object) {
  for (let attempt = 1; ; attempt += 1) {
    const site = await startSite(t, {
      routes: [{ id: 'echo', path: '/*', service: 'echo', auth: 'none', limit }]
    })
    const all = await answers(site, '/x', 20)
    const { body } = await site.admin('GET', '/metrics')
    const isLocal = /^tollkeeper_limit_decisions_total\{.*by="(?!store)/m.test(body)
    if (!isLocal || attempt === 3) return all
  }
}

for (const [kind, numbers] of [
  ['quota', { quota: 12, window: '1h' }],
  ['rate', { qps: 0.01, slack: 11 }]
] as const) {
  t.test(`a ${kind} is one for all of them, in the embedded store too`, async (t) => {
    const all = await counted(t, { ...numbers, by: 'address', scope: 'exact' })
    t.equal(new Set(all.map(({ who }) => who)).size, 2)
    t.strictSame(
      all.map(({ status }) => status),
      [...Array.from({ length: 12 }, () => 200), ...Array.from({ length: 8 }, () => 429)]
    )
  })
}

t.test('a session that ends at one of them has ended at all', async (t) => {
  const site = await startSite(
    t,
    {
      auth: { issuer: 'tests', audience: 'api', users: { path: 'users.json' } },
      routes: [{ id: 'echo', path: '/*', service: 'echo', auth: { mode: 'required', session: 'strict' } }]
    },
    { files: { 'users.json': await usersFile({ kesa: { password: 'a-password-of-hers' } }) } }
  )
  const post = (path: string, body: object, token?: string) =>
    fetch(`${site.origin}${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        connection: 'close',
        ...(token !== undefined && { authorization: `Bearer ${token}` })
      },
      body: JSON.stringify(body)
    })
  const signedIn = await post('/auth/login', { username: 'kesa', password: 'a-password-of-hers' })
  t.equal(signedIn.status, 200)
  const { access_token: accessToken } = (await signedIn.json()) as { access_token: string }
  const statuses = async () => {
    const found = new Map<string, number>()
    for (let count = 0; count < 6; count += 1) {
      const answer = await fetch(`${site.origin}/x`, {
        headers: { authorization: `Bearer ${accessToken}`, connection: 'close' }
      })
      await answer.arrayBuffer()
      found.set(whoOf(answer.headers.get('x-request-id')), answer.status)
    }
    return [...found.values()]
  }
  t.strictSame(await statuses(), [200, 200])
  t.ok((await post('/auth/logout', {}, accessToken)).ok)
  await eventually('both refuse it', async () => (await statuses()).join() === '401,401', 5000)
})

t.test('one call of the admin API is for all of them', async (t) => {
  const site = await startSite(t, {}, { isSeen: true })
  const path = join(site.running.directory, 'gateway.config.json')
  const moved = (to: string) =>
    site.text({ routes: [{ id: to, path: `/${to}/*`, service: 'echo', auth: 'none' }] })

  // 1. What was read by one of them is read by all when the answer is there.
  writeFileSync(path, moved('second'))
  t.equal((await site.admin('POST', '/admin/config/reload')).status, 200)
  t.strictSame(
    (await answers(site, '/second/x', 6)).map(({ status }) => status),
    [200, 200, 200, 200, 200, 200]
  )

  // 2. The history has each config once, and who it was.
  await eventually(
    'the file was seen',
    () => site.log().filter(({ msg }) => msg === 'config reloaded').length >= 2
  )
  const { body } = await site.admin('GET', '/admin/config/history')
  const { revisions } = JSON.parse(body) as { revisions: { by: string }[] }
  t.equal(revisions.length, 2)

  // 3. Metrics are of both.
  const asked = (await site.admin('GET', '/metrics')).body
  t.match(asked, /^tollkeeper_requests_total\{route="second",method="GET",status="200"\} 6$/m)
  t.match(asked, /^tollkeeper_config_last_reload_successful 1$/m)
  t.match(asked, /^# TYPE tollkeeper_requests_total counter$/m)
  t.match(asked, /^tollkeeper_request_duration_seconds_count\{route="second"\} 6$/m)

  // 4. By a signal as well.
  writeFileSync(path, moved('third'))
  site.running.child.kill('SIGHUP')
  await eventually('both have it', async () =>
    (await answers(site, '/third/x', 4)).every(({ status }) => status === 200)
  )

  // 5. And what the number of them is, is settled when they start.
  writeFileSync(path, site.text({ workers: 3 }))
  const refused = await site.admin('POST', '/admin/config/reload')
  t.equal(refused.status, 400)
  t.match(refused.body, /cannot change while the gateway runs/)
  site.running.child.kill('SIGTERM')
  t.equal(await site.running.ended, 0)
})

t.test('a ban at one of them is one at all of them', async (t) => {
  const site = await startSite(t, { guard: { trustedProxies: ['127.0.0.1'] } })
  const statuses = async () => {
    const found = new Map<string, number>()
    for (let count = 0; count < 6; count += 1) {
      const answer = await fetch(`${site.origin}/x`, {
        headers: { 'x-forwarded-for': '192.0.2.7', connection: 'close' }
      })
      await answer.arrayBuffer()
      found.set(whoOf(answer.headers.get('x-request-id')), answer.status)
    }
    return [...found.values()].join()
  }
  t.equal(await statuses(), '200,200')
  t.equal((await site.admin('POST', '/admin/bans', { ip: '192.0.2.7', ttl: '1h' })).status, 201)
  await eventually('both refuse it', async () => (await statuses()) === '403,403', 2000)
})
