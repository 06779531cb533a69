import { randomBytes, scryptSync } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hash as argon2Hash } from '@node-rs/argon2'
import t, { type Test } from 'tap'
import { FileUsers } from '../../services/identity/users/file-users.ts'
import { Line } from '../../services/identity/users/line.ts'
import { decoyOf, hashPassword, Passwords } from '../../services/identity/users/passwords.ts'
import { readPhc } from '../../services/identity/users/phc.ts'
import { scryptHash } from '../../services/identity/users/scrypt.ts'
import { changePassword, readUsers } from '../../services/identity/users/user-editing.ts'
import { parseUserFile } from '../../services/identity/users/user-file.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { runToll, serving } from '../support/running.ts'

const decoy = decoyOf([])
const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')
const scryptPhc = (password: string, ln: number, r: number, p: number) => {
  const salt = randomBytes(16)
  const hash = scryptSync(password, salt, 32, { N: 2 ** ln, r, p, maxmem: 2 ** 28 })
  return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`
}
const weakArgon2 = (password: string) =>
  argon2Hash(password, { algorithm: 2, memoryCost: 4096, timeCost: 1, parallelism: 1 })
const fileOf = (users: Record<string, unknown>) => JSON.stringify({ users })

async function usersAt(t: Test, text: string) {
  const directory = mkdtempSync(join(tmpdir(), 'toll-passwords-'))
  const path = join(directory, 'users.json')
  writeFileSync(path, text, { mode: 0o600 })
  const users = await FileUsers.open(path, () => {})
  t.teardown(async () => {
    await users.close()
    chmodSync(directory, 0o700)
    rmSync(directory, { recursive: true, force: true })
  })
  return { directory, path, users }
}

t.test('both forms are verified, made by whomever', async (t) => {
  const passwords = await Passwords.open(() => t.fail('argon2id is there'))
  const stored = {
    argon2id: await hashPassword('pässword'),
    'argon2id at another cost': await weakArgon2('pässword'),
    scrypt: await scryptHash(Buffer.from('pässword')),
    'scrypt made elsewhere': scryptPhc('pässword', 14, 8, 5)
  }
  for (const [name, phc] of Object.entries(stored)) {
    t.equal(await passwords.matches('pa\u0308ssword', phc, { decoy }), true, name)
    t.equal(await passwords.matches('passwort', phc, { decoy }), false, name)
  }
  t.equal(await passwords.matches('pässword', undefined, { decoy }), false, 'no such user')
  const long = await hashPassword('x'.repeat(1024))
  t.equal(await passwords.matches('x'.repeat(1024), long, { decoy }), true)
  t.equal(await passwords.matches('x'.repeat(1025), long, { decoy }), false)
  t.equal(await passwords.matches('', await argon2Hash(Buffer.alloc(1)), { decoy }), false)
})

t.test(
  'a hash that would take the memory or the time of the gateway is refused with its place',
  async (t) => {
    const tail = '$c29tZXNhbHRzb21lc2FsdA$wlzqNZLx6Hk+aGklDG99QmEEm33x9NGFgnXi2U2lCBA'
    const refused = [
      '$argon2id$v=19$m=999999,t=1,p=1',
      '$argon2id$v=19$m=262144,t=99,p=1',
      '$argon2id$v=19$m=65536,t=3,p=99',
      '$argon2id$v=19$m=8,t=1,p=4',
      '$argon2i$v=19$m=19456,t=2,p=1',
      '$scrypt$ln=24,r=8,p=1',
      '$scrypt$ln=17,r=99,p=1',
      '$scrypt$ln=15,r=8,p=99',
      '$scrypt$ln=0,r=8,p=1'
    ]
    for (const cost of refused) {
      t.equal(readPhc(cost + tail), undefined, cost)
      t.throws(() => parseUserFile('users.json', fileOf({ 'a/b': { password: cost + tail } })), {
        message:
          /^users\.json is not a users file: the value at \/users\/a~1b\/password is no stored password/
      })
    }
    for (const cost of ['$argon2id$v=19$m=65536,t=3,p=4', '$scrypt$ln=17,r=8,p=1', '$scrypt$ln=14,r=8,p=5']) {
      t.ok(readPhc(cost + tail), cost)
    }
  }
)

t.test('an unknown user is compared with a hash as costly as most stored ones', async (t) => {
  const [weak, strong] = [await weakArgon2('x'), await hashPassword('x')]
  t.match(decoyOf([weak, weak, strong]), /^\$argon2id\$v=19\$m=4096,t=1,p=1\$/)
  t.match(decoyOf([]), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  t.ok(readPhc(decoyOf([scryptPhc('x', 14, 8, 1)])))
})

t.test(
  'a sign-in hashes an outdated password anew; the stamp stays until the password changes',
  async (t) => {
    for (const before of [await weakArgon2('123'), await scryptHash(Buffer.from('123'))]) {
      const { path, users } = await usersAt(
        t,
        fileOf({ kesa: { password: before, scopes: ['a'] }, tess: { password: await hashPassword('x') } })
      )
      const changes: unknown[] = []
      users.onChanged((...change) => changes.push(change))
      t.equal(await users.verifyCredentials('kesa', 'wrong'), undefined)
      const first = await users.verifyCredentials('kesa', '123')
      await users.close()
      const { kesa, tess } = (await readUsers(path)).users
      t.match(kesa!.password, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
      t.match(kesa, { scopes: ['a'] }, 'the rest is as before')
      t.equal(tess!.stamp, undefined)
      t.equal(statSync(path).mode & 0o777, 0o600)
      const second = await users.verifyCredentials('kesa', '123')
      t.equal(second!.stamp, first!.stamp)
      t.same(changes, [], 'nobody is signed out')
      // Whatever way the password is changed, the carried stamp does not survive it.
      const text = readFileSync(path, 'utf8')
      await changePassword(path, 'kesa', '456')
      t.equal((await readUsers(path)).users.kesa!.stamp, undefined)
      t.not((await users.find('kesa'))!.stamp, first!.stamp)
      writeFileSync(path, text.replace(kesa!.password, await hashPassword('789')))
      const byHand = await users.verifyCredentials('kesa', '789')
      t.ok(byHand)
      t.not(byHand!.stamp, first!.stamp)
      t.equal(changes.length, 2)
    }
  }
)

t.test(
  'several gateways hash anew at once: one result, and no change of the password is undone',
  async (t) => {
    const { path, users } = await usersAt(t, fileOf({ kesa: { password: await weakArgon2('123') } }))
    const others = await Promise.all(Array.from({ length: 4 }, () => FileUsers.open(path, () => {})))
    const all = [users, ...others]
    const stamps = await Promise.all(all.map((one) => one.verifyCredentials('kesa', '123')))
    await Promise.all(all.map((one) => one.close()))
    t.equal(new Set(stamps.map((user) => user!.stamp)).size, 1)
    t.equal((await users.verifyCredentials('kesa', '123'))!.stamp, stamps[0]!.stamp)
    const weak = await weakArgon2('123')
    writeFileSync(path, fileOf({ kesa: { password: weak } }))
    const signingIn = users.verifyCredentials('kesa', '123')
    await changePassword(path, 'kesa', '456')
    await signingIn
    await users.close()
    t.equal(await users.verifyCredentials('kesa', '123'), undefined)
    t.ok(await users.verifyCredentials('kesa', '456'))
  }
)

t.test('a file that is not plainly ours to write stays as it is, and the sign-in works', async (t) => {
  const text = fileOf({ kesa: { password: await weakArgon2('123') } })
  const { directory, path, users } = await usersAt(t, text)
  const link = join(directory, 'link.json')
  symlinkSync(path, link)
  const linked = await FileUsers.open(link, () => {})
  t.ok(await linked.verifyCredentials('kesa', '123'))
  await linked.close()
  t.equal(readFileSync(path, 'utf8'), text)
  if (process.getuid?.() !== 0) chmodSync(path, 0o400)
  else chownSync(path, 65534, 65534)
  t.ok(await users.verifyCredentials('kesa', '123'))
  await users.close()
  t.equal(readFileSync(path, 'utf8'), text)
})

t.test('the line is bounded, and who has left keeps no place in it', async (t) => {
  const line = new Line(1, 2, 'full')
  let release = () => {}
  const running = line.run(() => new Promise<void>((resolve) => (release = resolve)))
  let isGone = false
  const started: string[] = []
  const job = (name: string) => async () => void started.push(name)
  const gone = line.run(job('gone'), () => isGone)
  const patient = line.run(job('patient'), () => false)
  await t.rejects(line.run(job('late')), { code: 'OVERLOADED', headers: { 'retry-after': '1' } })
  isGone = true
  const later = line.run(job('later'))
  await t.rejects(gone, { message: /in time/ }, 'made room')
  await t.rejects(
    line.run(job('never'), () => true),
    { message: /in time/ }
  )
  release()
  await Promise.all([running, patient, later])
  t.same(started, ['patient', 'later'])
})

t.test('clients that left are not hashed for, and others get their turn', async (t) => {
  const { origin, log } = await startGateway(
    t,
    { auth: { users: { path: 'users.json' } }, doors: { login: { max: 10_000 } }, routes: [] },
    { files: { 'users.json': fileOf({ kesa: { password: await hashPassword('123') } }) } }
  )
  const login = (password: string, signal?: AbortSignal) =>
    fetch(`${origin}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'kesa', password }),
      signal: signal ?? null
    })
  const leaving = new AbortController()
  const abandoned = Array.from({ length: 250 }, () => login('123', leaving.signal).catch(() => undefined))
  await Promise.race(abandoned)
  leaving.abort()
  await Promise.all(abandoned)
  const answer = await login('123')
  t.equal(answer.status, 200)
  const left = () => log().some(({ status, reason }) => status === 499 && reason === 'client_left')
  const deadline = Date.now() + 5000
  while (!left() && Date.now() < deadline) await sleep(20)
  t.ok(left())
})

t.test('without the native module: scrypt, one warning, and no word about who has an account', async (t) => {
  const hook = `export async function resolve(name, context, next) {
    if (name === '@node-rs/argon2') throw Object.assign(new Error('not here'), { code: 'ERR_MODULE_NOT_FOUND' })
    return next(name, context)
  }`
  const url = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`
  const register = `import { register } from 'node:module'; register(${JSON.stringify(url(hook))})`
  const env = { NODE_OPTIONS: `--import=${url(register)}` }
  const config = JSON.stringify({
    listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' },
    auth: { users: { path: 'users.json' } },
    routes: []
  })
  const added = runToll(
    t,
    ['user', 'add', 'kesa', '--password', '123'],
    { 'gateway.config.json': config },
    env
  )
  t.equal(await added.ended, 0, added.output.err)
  const text = readFileSync(join(added.directory, 'users.json'), 'utf8')
  t.match(text, /"\$scrypt\$ln=15,r=8,p=3\$/)

  const files = { 'gateway.config.json': config, 'users.json': text }
  const running = runToll(t, ['start'], files, env)
  const { origin } = await serving(running)
  const login = (username: string, password: string) =>
    ask('POST', `${origin}/auth/login`, { json: { username, password } })
  t.equal((await login('kesa', '123')).status, 200)
  t.equal((await login('kesa', '124')).status, 401)
  t.equal((await login('nobody', '124')).status, 401)
  const warnings = running.output.out.split('\n').filter((line) => line.includes('@node-rs/argon2'))
  t.equal(warnings.length, 1)
  t.equal(readFileSync(join(running.directory, 'users.json'), 'utf8'), text, 'it is at today’s cost')

  // An argon2id hash cannot be verified here: said at the start, and for everybody alike when it comes later.
  const mixed = fileOf({ kesa: JSON.parse(text).users.kesa, tess: { password: await hashPassword('x') } })
  writeFileSync(join(running.directory, 'users.json'), mixed)
  for (const name of ['kesa', 'tess', 'nobody']) t.equal((await login(name, '123')).status, 503)
  const refused = runToll(t, ['start'], { 'gateway.config.json': config, 'users.json': mixed }, env)
  t.not(await refused.ended, 0)
  t.match(
    refused.output.out + refused.output.err,
    /has argon2id passwords, for which the package @node-rs\/argon2/
  )
})
