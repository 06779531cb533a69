import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FileUsers } from '../../services/identity/users/file-users.ts'
import { hashPassword } from '../../services/identity/users/passwords.ts'
import { addUser, changePassword, readUsers, removeUser } from '../../services/identity/users/user-editing.ts'
import { parseUserFile } from '../../services/identity/users/user-file.ts'
import { usersFile } from '../support/users.ts'

const kesa = await usersFile({ kesa: { password: '123', scopes: ['a'] } })

function directoryOf(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-users-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

async function open(t: Test, text = kesa) {
  const path = join(directoryOf(t), 'users.json')
  writeFileSync(path, text)
  const warnings: string[] = []
  const users = await FileUsers.open(path, (sentence) => warnings.push(sentence))
  t.teardown(() => users.close())
  return { path, users, warnings }
}

t.test('a changed file counts from the next sign-in on, however it was saved', async (t) => {
  const { path, users } = await open(t)
  t.match(await users.verifyCredentials('kesa', '123'), { uid: 'kesa', scopes: ['a'] })
  t.equal(await users.verifyCredentials('tess', 'x'), undefined)
  writeFileSync(path, await usersFile({ tess: { password: 'x' } }))
  t.match(await users.verifyCredentials('tess', 'x'), { uid: 'tess' })
  t.equal(await users.verifyCredentials('kesa', '123'), undefined)
  t.equal(await users.find('kesa'), undefined)
  writeFileSync(`${path}.new`, kesa)
  renameSync(`${path}.new`, path)
  t.match(await users.find('kesa'), { uid: 'kesa' })
})

t.test('while the file is broken sign-ins are 503, and who is signed in stays', async (t) => {
  const { path, users, warnings } = await open(t)
  for (const text of ['{"users":', '{"users":{"kesa":{"password":"123"}}}']) {
    writeFileSync(path, text)
    await t.rejects(users.verifyCredentials('kesa', '123'), { code: 'USERS_UNAVAILABLE', statusCode: 503 })
    t.match(await users.find('kesa'), { uid: 'kesa' }, 'as of before')
  }
  rmSync(path)
  await t.rejects(users.verifyCredentials('kesa', '123'), { code: 'USERS_UNAVAILABLE' })
  t.equal(new Set(warnings).size, 3)
  t.notMatch(warnings.join(), 'argon2')
  writeFileSync(path, kesa)
  t.match(await users.verifyCredentials('kesa', '123'), { uid: 'kesa' })
})

t.test('a new password gives the user another stamp', async (t) => {
  const { path, users } = await open(t)
  const before = await users.find('kesa')
  await changePassword(path, 'kesa', '456')
  const after = await users.find('kesa')
  t.not(after?.stamp, before?.stamp)
  t.match(await users.verifyCredentials('kesa', '456'), { stamp: after?.stamp, scopes: ['a'] })
})

t.test('users files that would let somebody in by mistake are refused in one sentence', async (t) => {
  const password = await hashPassword('x')
  const file = (users: unknown) => JSON.stringify({ users })
  const refused: Record<string, string> = {
    'not JSON': '{',
    'no users': '{}',
    'a list': file([]),
    'a plain password': file({ kesa: { password: '123' } }),
    'another hash': file({ kesa: { password: '$2b$10$abcdefghijklmnopqrstuv' } }),
    'an unknown key': file({ kesa: { password, scope: ['admin'] } }),
    'scopes as text': file({ kesa: { password, scopes: 'admin' } }),
    'a scope with a space': file({ kesa: { password, scopes: ['a b'] } }),
    'two users with one id': file({ kesa: { password, id: 'u1' }, tess: { password, id: 'u1' } }),
    'an id that is another name': file({ kesa: { password }, tess: { password, id: 'kesa' } }),
    'a name with a line break': file({ 'ke\nsa': { password } })
  }
  for (const [name, text] of Object.entries(refused)) {
    t.throws(() => parseUserFile('users.json', text), { message: /^users\.json [^\n]+\.$/ }, name)
  }
  t.ok(parseUserFile('users.json', file({ kesa: { password, id: 'u1', scopes: ['a:b'], roles: ['r'] } })))
})

t.test('editing keeps the file private and whole', async (t) => {
  const path = join(directoryOf(t), 'users.json')
  const user = { password: '123', scopes: ['a'], roles: [] }
  await addUser(path, 'kesa', user)
  t.equal(statSync(path).mode & 0o777, 0o600)
  await t.rejects(addUser(path, 'kesa', user), { message: /already/ })
  await t.rejects(addUser(path, 'tess', { ...user, scopes: ['a b'] }))
  await t.rejects(addUser(path, 'tess', { ...user, password: '' }), { message: /empty/ })
  await t.rejects(addUser(path, 'tess', { ...user, password: 'x'.repeat(1025) }), { message: /1024/ })
  await t.rejects(addUser(path, '', user))
  t.same(Object.keys((await readUsers(path)).users), ['kesa'])
  await addUser(path, '__proto__', user).catch(() => undefined)
  t.same(({} as { password?: string }).password, undefined)
  t.notMatch(readFileSync(path, 'utf8'), '123"')
  await removeUser(path, 'kesa')
  await t.rejects(removeUser(path, 'kesa'), { message: /no user "kesa"/ })
})

t.test('of users added at the same time none is lost, and a lock left behind does not last', async (t) => {
  const path = join(directoryOf(t), 'users.json')
  const names = Array.from({ length: 8 }, (_, index) => `user${index}`)
  await Promise.all(names.map((name) => addUser(path, name, { password: 'x', scopes: [], roles: [] })))
  t.same(Object.keys((await readUsers(path)).users).sort(), names)
  writeFileSync(`${path}.lock`, '')
  const longAgo = new Date(Date.now() - 60_000)
  utimesSync(`${path}.lock`, longAgo, longAgo)
  await removeUser(path, 'user0')
  t.equal(Object.keys((await readUsers(path)).users).length, 7)
})
