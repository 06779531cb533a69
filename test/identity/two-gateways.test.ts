import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sessionKey } from '../../services/identity/sessions/records.ts'
import { userHashOf } from '../../services/identity/sessions/refresh-token.ts'
import { openStore } from '../../services/store/open.ts'
import { type Answer, ask } from '../support/client.ts'
import { freePorts } from '../support/ports.ts'
import { startRedis } from '../support/redis.ts'
import { startToll } from '../support/toll.ts'
import { usersFile } from '../support/users.ts'

const redis = await startRedis()
t.teardown(() => redis.stop())
const users = await usersFile({ kesa: { password: '123' } })

const stores = [
  { driver: 'redis', url: redis.url, timeout: '2s' },
  { driver: 'embedded', path: '.toll/store' }
]

/** Two processes of the gateway over one store, with one key file: two replicas, or two processes of one machine. */
async function startTwo(t: Test, store: Record<string, unknown>, auth: Record<string, unknown> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'toll-two-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'users.json'), users)
  const ports = await freePorts(4)
  const names = ['a', 'b']
  const origins = names.map((_, index) => `http://127.0.0.1:${ports[index]}`)
  const starting = names.map((name, index) => {
    const config = {
      listen: { public: `127.0.0.1:${ports[index]}`, admin: `127.0.0.1:${ports[index + 2]}` },
      store,
      auth: { users: { driver: 'file', path: 'users.json' }, ...auth },
      routes: []
    }
    const path = join(directory, `${name}.config.json`)
    writeFileSync(path, JSON.stringify(config))
    return startToll(t, ['start', '--config', path], {
      cwd: directory,
      admin: config.listen.admin,
      patience: 60_000
    })
  })
  const processes = await Promise.all(starting)
  const [a = '', b = ''] = origins
  const adminToken = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  return { a, b, processes, directory, adminToken, adminOfA: `http://127.0.0.1:${ports[2]}` }
}

const login = (origin: string): Promise<Answer> =>
  ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })
const refresh = (origin: string, token: unknown): Promise<Answer> =>
  ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: token } })
const me = async (origin: string, token: unknown): Promise<number> =>
  (await ask('GET', `${origin}/auth/me`, { token: String(token) })).status

const fiftySignIns = (a: string, b: string): Promise<Answer[]> =>
  Promise.all(Array.from({ length: 50 }, (_, index) => login(index % 2 === 0 ? a : b)))

/** The milliseconds until `origin` refuses the token; fails after a second. */
async function refusedAfter(origin: string, token: unknown): Promise<number> {
  const from = performance.now()
  while ((await me(origin, token)) !== 401) {
    if (performance.now() - from > 1000) throw new Error('the token still passes')
  }
  return performance.now() - from
}

for (const store of stores) {
  t.test(store.driver, async (t) => {
    const auth = { grace: '0s', idle: '8s', sessions: { max: 5, onLimit: 'evict-oldest' } }
    const { a, b, adminOfA, adminToken, processes, directory } = await startTwo(t, store, auth)

    t.test(
      'two gateways that start at once share one key file, and each takes the tokens of the other',
      async (t) => {
        const jwks = await Promise.all([a, b].map((origin) => ask('GET', `${origin}/.well-known/jwks.json`)))
        t.equal(jwks[0]!.text, jwks[1]!.text)
        const { body } = await login(a)
        t.equal(await me(b, body.access_token), 200)
      }
    )

    t.test(
      '64 concurrent refreshes of one token at two gateways make one new generation; reuse ends the family',
      async (t) => {
        const { body } = await login(a)
        // 1. All of them succeed, and give the same successor.
        const answers = await Promise.all(
          Array.from({ length: 64 }, (_, index) => refresh(index % 2 === 0 ? a : b, body.refresh_token))
        )
        t.same([...new Set(answers.map(({ status }) => status))], [200])
        const successors = new Set(answers.map((answer) => answer.body.refresh_token))
        t.equal(successors.size, 1)
        // 2. The successor is good once more.
        const [successor] = successors
        const third = await refresh(b, successor)
        t.equal(third.status, 200)
        // 3. The first one is now older than the parent: two parties hold it. Everything ends, on both gateways.
        const access = [body, answers[0]!.body, third.body].map(({ access_token }) => access_token)
        t.equal((await refresh(a, body.refresh_token)).status, 400)
        for (const token of access) {
          t.equal(await me(a, token), 401)
          await refusedAfter(b, token)
        }
        t.equal((await refresh(b, third.body.refresh_token)).status, 400)
      }
    )

    t.test(
      'who is kicked at one gateway is refused by the other, although the token is in date',
      async (t) => {
        for (const path of ['/admin/sessions/SESSION', '/admin/users/kesa/sessions']) {
          const { body } = await login(b)
          t.equal(await me(b, body.access_token), 200)
          const kicked = await ask('DELETE', adminOfA + path.replace('SESSION', String(body.session)), {
            token: adminToken
          })
          t.ok(kicked.status === 204 || kicked.status === 200)
          t.equal(await me(a, body.access_token), 401, 'at once where it was ended')
          await refusedAfter(b, body.access_token)
          t.equal((await refresh(b, body.refresh_token)).status, 400)
        }
      }
    )

    t.test(
      'a token of the successor used at one gateway is known to the other after its batch',
      async (t) => {
        const { body: first } = await login(a)
        const { body: second } = await refresh(a, first.refresh_token)
        t.equal(await me(a, second.access_token), 200)
        // Batches are sent four times per idle time; what is over an idle time is over without them.
        await new Promise((resolve) => setTimeout(resolve, 2500))
        t.equal((await refresh(b, first.refresh_token)).status, 400)
        t.equal((await refresh(a, second.refresh_token)).status, 400)
      }
    )

    t.test(
      'a request whose client left while its gateway stood still is not carried out later',
      async (t) => {
        const { body: first } = await login(b)
        // 1. Gateway a stands still; a client asks it, gives up, and goes on at gateway b.
        processes[0]!.process.kill('SIGSTOP')
        const { hostname, port } = new URL(a)
        const socket = connect(Number(port), hostname)
        const json = JSON.stringify({ refresh_token: first.refresh_token })
        const head = `POST /auth/refresh HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${json.length}`
        await new Promise<void>((resolve) => socket.write(`${head}\r\n\r\n${json}`, () => resolve()))
        socket.destroy()
        const { body: second } = await refresh(b, first.refresh_token)
        const { body: third } = await refresh(b, second.refresh_token)
        // 2. Gateway a reads what was sent to it. Carried out now it would be reuse, and end the session.
        processes[0]!.process.kill('SIGCONT')
        await me(a, third.access_token)
        t.equal((await refresh(a, third.refresh_token)).status, 200)
        t.equal(await me(b, third.access_token), 200)
      }
    )

    t.test(
      'what a gateway ended before it was killed is void everywhere with the next refresh',
      async (t) => {
        const { body } = await login(a)
        // As of a gateway that was killed behind the first of its two steps: the store has ended it, nobody was told.
        const shared = await openStore(store as never, directory)
        const sid = String(body.session)
        t.equal(await shared.delete(sessionKey(userHashOf(sid), sid)), true)
        await shared.close()
        t.equal(await me(b, body.access_token), 200)
        t.equal((await refresh(b, body.refresh_token)).status, 400)
        t.equal(await me(b, body.access_token), 401)
        await refusedAfter(a, body.access_token)
      }
    )

    t.test('50 sign-ins at once at two gateways end all but the newest five sessions', async (t) => {
      const answers = await fiftySignIns(a, b)
      t.same([...new Set(answers.map(({ status }) => status))], [200])
      // What made room is refused wherever it is shown, as soon as the other gateway has heard of it.
      const alive: Answer['body'][] = []
      for (const { body } of answers) {
        if ((await me(a, body.access_token)) === 401) await refusedAfter(b, body.access_token)
        else alive.push(body)
      }
      const token = String(alive[0]?.access_token)
      const { body } = await ask('GET', `${b}/auth/sessions`, { token })
      const listed = body.sessions as { id: string }[]
      t.same(listed.map(({ id }) => id).sort(), alive.map(({ session }) => session).sort())
      t.equal(alive.length, 5)
    })

    t.test(
      'of 50 sign-ins at once at two gateways five are let in, where the others are refused',
      async (t) => {
        const { a, b } = await startTwo(t, store, { sessions: { max: 5, onLimit: 'reject' } })
        const answers = await fiftySignIns(a, b)
        const statuses = answers.map(({ status }) => status).sort()
        t.same(statuses, [...Array(5).fill(200), ...Array(45).fill(403)])
      }
    )

    t.test('what one gateway revoked before the other started holds there as well', async (t) => {
      const { body } = await login(a)
      t.equal((await ask('POST', `${a}/auth/logout`, { token: String(body.access_token) })).status, 204)
      await Promise.all(processes.map((process) => process.stop()))
      const [port = 0, admin = 0] = await freePorts(2)
      const path = join(directory, 'c.config.json')
      const config = JSON.parse(readFileSync(join(directory, 'a.config.json'), 'utf8')) as Record<
        string,
        unknown
      >
      config.listen = { public: `127.0.0.1:${port}`, admin: `127.0.0.1:${admin}` }
      writeFileSync(path, JSON.stringify(config))
      const origin = `http://127.0.0.1:${port}`
      await startToll(t, ['start', '--config', path], { cwd: directory, admin: `127.0.0.1:${admin}` })
      t.equal(await me(origin, body.access_token), 401)
    })
  })
}
