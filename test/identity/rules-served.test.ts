import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { addKey } from '../../services/identity/api-keys/key-editing.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { freePorts } from '../support/ports.ts'
import { startToll } from '../support/toll.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const rules = [
  { id: 'signed-in', scope: '*', resource: 'service:*:*' },
  { id: 'admins', scope: 'admin', resource: 'service:*:/admin/*', priority: 10 },
  { id: 'nobody-else', resource: 'service:*:/admin/*', access: 'denied', priority: 5 },
  { id: 'partners', scope: '+', resource: 'service:orders:/shared/*', priority: 1 }
]

t.test('POST /admin/verify answers as a request would be', async (t) => {
  const users = await usersFile({
    root: { password: '123', scopes: ['admin'] },
    kesa: { password: '123' }
  })
  const { admin, origin, directory } = await startGateway(
    t,
    { routes: [], rules, auth: { issuer: 'us', users: { driver: 'file', path: 'users.json' } } },
    { files: { 'users.json': users } }
  )
  const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  const verify = (json: unknown, as: string | undefined = token) =>
    ask('POST', `${admin}/admin/verify`, { json, ...(as !== '' && { token: as }) })

  const cases: readonly (readonly [unknown, unknown, boolean, string | null])[] = [
    [{ scopes: [] }, 'service:orders:/a', true, 'signed-in'],
    [null, 'service:orders:/a', false, null],
    [{ scopes: ['admin'] }, 'service:orders:/admin/x', true, 'admins'],
    [
      { scopes: [], subject: 'kesa' },
      { type: 'Service', name: 'orders', endpoint: '/ADMIN' },
      false,
      'nobody-else'
    ],
    [{ scopes: ['admin'], isOwn: false }, 'service:orders:/admin/x', false, 'nobody-else'],
    [{ scopes: [], issuer: 'them' }, 'service:orders:/shared/x', true, 'partners'],
    [{ scopes: [], issuer: 'them' }, 'service:orders:/a', false, null],
    [{ scopes: [], issuer: 'us' }, 'service:orders:/a', true, 'signed-in'],
    // In the form a request's path has when it gets to the rules.
    [{ scopes: [] }, 'service:orders:/%61dmin//x', false, 'nobody-else'],
    [{ scopes: [] }, 'topic:news:*', false, null]
  ]
  for (const [account, resource, allowed, rule] of cases) {
    const { status, body } = await verify({ account, resource })
    t.equal(status, 200)
    t.same(body, { allowed, rule }, JSON.stringify({ account, resource }))
  }

  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /The value at \/ /],
    [{ account: null }, /\/resource/],
    [{ resource: 'a:b:c' }, /\/account/],
    [{ account: {}, resource: 'a:b:c' }, /\/account\/scopes/],
    [{ account: { scopes: [1] }, resource: 'a:b:c' }, /\/account\/scopes\/0/],
    [{ account: { scopes: [], admin: true }, resource: 'a:b:c' }, /\/account\/admin/],
    [{ account: null, resource: 'orders' }, /\/resource/],
    [{ account: null, resource: { type: 'a', name: 'b' } }, /\/resource/],
    [{ account: { scopes: [], isOwn: true, issuer: 'x' }, resource: 'a:b:c' }, /say the same/],
    [{ account: null, resource: 'service:a:/a/../b' }, /The path was refused/]
  ]
  for (const [json, sentence] of wrong) {
    const { status, body } = await verify(json)
    t.equal(status, 400, JSON.stringify(json))
    t.match(body.detail, sentence)
  }

  // Who may ask: the holder of the admin token and users with the scope, nobody else.
  const question = { account: null, resource: 'a:b:c' }
  t.equal((await verify(question, '')).status, 401)
  const tokenOf = async (username: string) =>
    String(
      (await ask('POST', `${origin}/auth/login`, { json: { username, password: '123' } })).body.access_token
    )
  t.equal((await verify(question, await tokenOf('root'))).status, 200)
  t.equal((await verify(question, await tokenOf('kesa'))).status, 403)
})

t.test('without rules there is nothing to verify with', async (t) => {
  const { admin, directory } = await startGateway(t, { routes: [] })
  const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  const json = { account: null, resource: 'a:b:c' }
  t.match(await ask('POST', `${admin}/admin/verify`, { token, json }), {
    status: 404,
    body: { detail: 'There is no config key "rules".' }
  })
})

/** Two processes of the gateway that read one config; `write` puts another there. */
async function startTwo(
  t: Test,
  place: (directory: string) => { path: string; write: (text: string) => void }
) {
  const directory = mkdtempSync(join(tmpdir(), 'toll-rules-two-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const up = await httpUpstream(t, (_request, response) => response.end('served'))
  const keys = join(directory, 'api-keys.json')
  const { text: key } = await addKey(
    keys,
    { owner: 'ci', scopes: [], roles: [], expires: undefined, note: undefined },
    Date.now()
  )
  const configWith = (access: 'granted' | 'denied') =>
    JSON.stringify({
      listen: { public: '127.0.0.1:${PUBLIC}', admin: '127.0.0.1:${ADMIN}' },
      store: { driver: 'embedded', path: '${STORE}' },
      services: { up: { nodes: [up.url] } },
      routes: [{ id: 'all', path: '/*', service: 'up', auth: { credentials: ['api-key'] } }],
      auth: { apiKeys: { path: keys }, keys: { path: join(directory, 'keys.json') } },
      admin: { tokenPath: join(directory, 'admin-token') },
      rules: [{ id: 'all', scope: '*', resource: 'service:*:*', access }]
    })
  const { path, write } = place(directory)
  write(configWith('granted'))
  const ports = await freePorts(4)
  const origins = await Promise.all(
    [0, 1].map(async (index) => {
      const admin = `127.0.0.1:${ports[index + 2]}`
      const env = {
        PUBLIC: String(ports[index]),
        ADMIN: String(ports[index + 2]),
        STORE: join(directory, `store-${index}`)
      }
      await startToll(t, ['start', '--config', path], { cwd: directory, admin, env })
      return `http://127.0.0.1:${ports[index]}`
    })
  )
  const statusAt = async (origin: string) =>
    (await ask('GET', `${origin}/x`, { headers: { 'x-api-key': key } })).status
  return { origins, statusAt, publish: (access: 'granted' | 'denied') => write(configWith(access)) }
}

const places = {
  'one config file': (directory: string) => {
    const path = join(directory, 'gateway.config.json')
    return {
      path,
      write: (text: string) => {
        writeFileSync(`${path}.new`, text)
        renameSync(`${path}.new`, path)
      }
    }
  },
  'a folder swapped as Kubernetes does': (directory: string) => {
    const folder = join(directory, 'config')
    let revision = 0
    return {
      path: join(folder, 'gateway.config.json'),
      write: (text: string) => {
        revision += 1
        mkdirSync(join(folder, `..${revision}`), { recursive: true })
        writeFileSync(join(folder, `..${revision}`, 'gateway.config.json'), text)
        if (revision === 1) symlinkSync('..data/gateway.config.json', join(folder, 'gateway.config.json'))
        symlinkSync(`..${revision}`, join(folder, '..data_tmp'))
        renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
      }
    }
  }
}

for (const [name, place] of Object.entries(places)) {
  t.test(`a changed rule is in force on both nodes within a second: ${name}`, async (t) => {
    const { origins, statusAt, publish } = await startTwo(t, place)
    for (const origin of origins) t.equal(await statusAt(origin), 200)
    const times: number[] = []
    for (const access of ['denied', 'granted', 'denied', 'granted', 'denied', 'granted'] as const) {
      const wanted = access === 'denied' ? 403 : 200
      const from = performance.now()
      publish(access)
      const took = origins.map(async (origin) => {
        while ((await statusAt(origin)) !== wanted) {
          if (performance.now() - from > 10_000) throw new Error(`${access} does not come into force`)
          await sleep(5)
        }
        return performance.now() - from
      })
      times.push(Math.max(...(await Promise.all(took))))
    }
    t.comment(`the slower node, ms: ${times.map((ms) => ms.toFixed(0)).join(' ')}`)
    // The machine may be busy at one of the swaps; it is the gateway that is timed.
    const median = times.toSorted((a, b) => a - b)[2]!
    t.ok(median < 1000, `${median.toFixed(0)} ms`)
  })
}
