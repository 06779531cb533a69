import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { newKeys, writeKeys } from '../../services/identity/keys/key-file.ts'
import type { KeyRecord } from '../../services/identity/keys/key-record.ts'
import { importSigningKey } from '../../services/identity/keys/signing-key.ts'
import { type Answer, ask } from '../support/client.ts'
import { type StartedGateway, startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ kesa: { password: '123' } })
const redis = await startRedis()
t.teardown(() => redis.stop())

interface Node extends StartedGateway {
  readonly keyPath: string
}

/** A gateway with a key file of its own, or the one at `keyPath`. */
async function start(t: Test, keys: readonly KeyRecord[], keyPath = fileWith(t, keys)): Promise<Node> {
  const gateway = await startGateway(
    t,
    {
      store: { driver: 'redis', url: redis.url, timeout: '2s' },
      auth: { users: { driver: 'file', path: 'users.json' }, keys: { path: keyPath } },
      admin: { token },
      routes: []
    },
    { files: { 'users.json': users } }
  )
  return { ...gateway, keyPath }
}

function fileWith(t: Test, keys: readonly KeyRecord[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-keys-'))
  t.teardown(() => {
    chmodSync(directory, 0o700)
    rmSync(directory, { recursive: true, force: true })
  })
  const path = join(directory, 'keys.json')
  writeFileSync(path, writeKeys(keys), { mode: 0o600 })
  return path
}

/** A token that whoever stole the key makes, of any session. */
function forge(key: KeyRecord, like: unknown): string {
  const signing = importSigningKey(key, key.kid, key.alg)
  const [, payload] = String(like).split('.')
  const claims = { ...JSON.parse(Buffer.from(payload!, 'base64url').toString()), jti: 'stolen' }
  const input = [{ alg: key.alg, typ: 'at+jwt', kid: key.kid }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${input}.${signing.sign(input).toString('base64url')}`
}

const revoke = (node: Node, kid: string): Promise<Answer> =>
  ask('DELETE', `${node.admin}/admin/keys/${kid}`, { token })
const published = async ({ origin }: Node): Promise<string[]> =>
  ((await ask('GET', `${origin}/.well-known/jwks.json`)).body.keys as { kid: string }[]).map(({ kid }) => kid)
const stateIn = (path: string, kid: string): KeyRecord | undefined =>
  (JSON.parse(readFileSync(path, 'utf8')) as { keys: KeyRecord[] }).keys.find((key) => key.kid === kid)

/** Polls until it is so, a second at most. */
async function within1s(what: () => Promise<boolean>): Promise<number> {
  const from = performance.now()
  while (!(await what())) {
    if (performance.now() - from > 1000) return Number.POSITIVE_INFINITY
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now() - from
}

const token = 'a-token-for-the-administrator'
const kidOf = (jwt: unknown): string =>
  JSON.parse(Buffer.from(String(jwt).split('.')[0]!, 'base64url').toString()).kid as string
const login = (origin: string): Promise<Answer> =>
  ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })
const me = async (origin: string, jwt: unknown): Promise<number> =>
  (await ask('GET', `${origin}/auth/me`, { token: String(jwt) })).status
const refresh = (origin: string, jwt: unknown): Promise<Answer> =>
  ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: jwt } })

t.test(
  'a revoked key: everything it signed is void on every node, and a new one signs at once',
  async (t) => {
    const keys = newKeys(Date.now())
    const stolen = keys[0]!
    const a = await start(t, keys)
    const b = await start(t, keys, a.keyPath)
    const { body } = await login(a.origin)
    t.equal(kidOf(body.access_token), stolen.kid)
    for (const { origin } of [a, b]) t.equal(await me(origin, body.access_token), 200)
    // 1. At once where it was asked, within a second elsewhere.
    const answer = await revoke(a, stolen.kid)
    t.match(answer, { status: 200, body: { kid: stolen.kid, propagated: true, written: true } })
    t.equal(await me(a.origin, body.access_token), 401)
    t.ok((await within1s(async () => (await me(b.origin, body.access_token)) === 401)) < 1000)
    for (const node of [a, b]) t.equal(await me(node.origin, forge(stolen, body.access_token)), 401)
    // 2. A new key signs, the JWKS has it and has not the old one, and each node takes the tokens of the other.
    const fresh = await login(a.origin)
    t.not(kidOf(fresh.body.access_token), stolen.kid)
    t.equal(await me(b.origin, fresh.body.access_token), 200, 'not one refusal, however early')
    for (const node of [a, b]) t.same(await published(node), [kidOf(fresh.body.access_token)])
    // 3. Nobody is signed out: refresh tokens are by another key.
    t.equal((await refresh(b.origin, body.refresh_token)).status, 200)
    // 4. It shows as revoked, also to the command, and asking again changes nothing.
    const listed = await ask('GET', `${b.admin}/admin/keys`, { token })
    const rows = listed.body.keys as Record<string, unknown>[]
    t.match(
      rows.find(({ kid }) => kid === stolen.kid),
      { state: 'revoked', revoked_at: /^20/ }
    )
    t.notMatch(listed.text, /"[dk]":/)
    t.equal((await revoke(b, stolen.kid)).status, 200)
    t.equal(
      rows.length,
      (await ask('GET', `${b.admin}/admin/keys`, { token }).then(({ body }) => body.keys as [])).length
    )
    t.equal((await revoke(a, 'nobody')).status, 404)
    t.equal((await revoke(a, keys[2]!.kid)).status, 404, 'the key that hides user ids signs nothing')
    t.equal((await ask('DELETE', `${a.admin}/admin/keys/${stolen.kid}`)).status, 401)
  }
)

t.test(
  'it stays revoked: after a restart, an emptied store, and where the file still has the key',
  async (t) => {
    const keys = newKeys(Date.now())
    const stolen = keys[0]!
    const a = await start(t, keys)
    const { body } = await login(a.origin)
    await revoke(a, stolen.kid)
    // 1. A node with an old copy of the file knows from the store, and marks its copy.
    const copy = await start(t, keys)
    t.equal(await me(copy.origin, forge(stolen, body.access_token)), 401)
    t.notOk((await published(copy)).includes(stolen.kid))
    t.ok((await within1s(async () => stateIn(copy.keyPath, stolen.kid)?.revokedAt !== undefined)) < 1000)
    await copy.stop()
    // 2. The store is emptied and the node restarted: the file still says so, and the store is told again.
    await a.stop()
    await redis.restart()
    const again = await start(t, [], a.keyPath)
    t.equal(await me(again.origin, forge(stolen, body.access_token)), 401)
    t.notOk((await published(again)).includes(stolen.kid))
    const late = await start(t, keys)
    t.equal(await me(late.origin, forge(stolen, body.access_token)), 401)
    t.notOk((await published(late)).includes(stolen.kid))
  }
)

t.test('a file that cannot be written in time: nobody waits for it, and the next key steps in', async (t) => {
  const [active, ...others] = newKeys(Date.now() - 1000)
  const next = { ...newKeys(0)[0]!, signFrom: Date.now() + 330_000 }
  const node = await start(t, [active!, next, ...others])
  const before = readFileSync(node.keyPath, 'utf8')
  // Somebody else is changing it.
  writeFileSync(`${node.keyPath}.lock`, '')
  const { body } = await login(node.origin)
  t.equal(kidOf(body.access_token), active!.kid)
  const revoking = revoke(node, active!.kid)
  t.ok(
    (await within1s(async () => (await me(node.origin, body.access_token)) === 401)) < 1000,
    'waits for no file'
  )
  t.equal(kidOf((await login(node.origin)).body.access_token), next.kid)
  t.same(await published(node), [next.kid])
  rmSync(`${node.keyPath}.lock`)
  await revoking
  t.not(readFileSync(node.keyPath, 'utf8'), before, 'marked once it can be')
})

t.test('a revoked refresh key: its sessions need a new sign-in', async (t) => {
  const keys = newKeys(Date.now())
  const a = await start(t, keys)
  const b = await start(t, keys, a.keyPath)
  const { body } = await login(a.origin)
  const kid = String(body.refresh_token).split('.')[1]!
  t.equal((await revoke(b, kid)).status, 200)
  t.equal((await refresh(b.origin, body.refresh_token)).status, 400)
  t.ok((await within1s(async () => (await refresh(a.origin, body.refresh_token)).status === 400)) < 1000)
  const fresh = await login(b.origin)
  t.not(String(fresh.body.refresh_token).split('.')[1], kid)
  t.equal((await refresh(a.origin, fresh.body.refresh_token)).status, 200)
})

t.test('while the only key is revoked at one gateway, nobody is refused a refresh at another', async (t) => {
  const a = await start(t, newKeys(Date.now()))
  const b = await start(t, [], a.keyPath)
  const { body } = await login(a.origin)
  let { access_token, refresh_token } = body
  for (let round = 0; round < 5; round += 1) {
    // One after the other without a pause, so that some come between the end of the old key and the news of the next.
    let isOver = false
    const refreshing = (async () => {
      const found = new Set<number>()
      while (!isOver) {
        const answer = await refresh(b.origin, refresh_token)
        found.add(answer.status)
        if (answer.status !== 200) break
        access_token = answer.body.access_token
        refresh_token = answer.body.refresh_token
      }
      return [...found]
    })()
    t.equal((await revoke(a, kidOf(access_token))).status, 200)
    await new Promise((resolve) => setTimeout(resolve, 100))
    isOver = true
    t.same(await refreshing, [200])
  }
})

t.test(
  'a gateway whose own copy of the file has no other key: 503 until it has, and nothing is lost',
  async (t) => {
    const keys = newKeys(Date.now())
    const [a, b] = [await start(t, keys), await start(t, keys)]
    const { body } = await login(a.origin)
    t.equal((await revoke(a, keys[0]!.kid)).status, 200)
    t.ok((await within1s(async () => (await me(b.origin, body.access_token)) === 401)) < 1000)
    // 1. Nobody signs there, and no refresh token is used up for nothing.
    for (const answer of [await login(b.origin), await refresh(b.origin, body.refresh_token)])
      t.match(answer, { status: 503, body: { code: 'KEYS_UNAVAILABLE' } })
    const { body: session } = await refresh(a.origin, body.refresh_token)
    t.equal(await me(a.origin, session.access_token), 200)
    t.equal((await refresh(b.origin, session.refresh_token)).status, 503)
    // 2. It would not start again like that, and says what to do.
    await t.rejects(start(t, [], b.keyPath), { message: /no key in force for "sig".*toll key rotate --now/ })
    // 3. With the file of the gateway that made the successor all goes on.
    writeFileSync(b.keyPath, readFileSync(a.keyPath), { mode: 0o600 })
    t.ok((await within1s(async () => (await login(b.origin)).status === 200)) < 1000)
    t.equal(await me(b.origin, session.access_token), 200)
    t.equal((await refresh(b.origin, session.refresh_token)).status, 200)
  }
)

t.test('without the store a key is revoked here, 202, and elsewhere once the store is back', async (t) => {
  const keys = newKeys(Date.now())
  const a = await start(t, keys)
  const b = await start(t, keys)
  const { body } = await login(a.origin)
  await redis.kill()
  const answer = await revoke(a, keys[0]!.kid)
  t.match(answer, { status: 202, body: { propagated: false, written: true } })
  t.notOk((await published(a)).includes(keys[0]!.kid))
  await redis.restart()
  const deadline = Date.now() + 10_000
  while ((await published(b)).includes(keys[0]!.kid) && Date.now() < deadline)
    await new Promise((r) => setTimeout(r, 50))
  t.notOk((await published(b)).includes(keys[0]!.kid))
  t.equal(await me(b.origin, forge(keys[0]!, body.access_token)), 401)
})
