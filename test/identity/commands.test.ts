import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ask } from '../support/client.ts'
import { root } from '../support/console.ts'
import { startGateway } from '../support/gateway.ts'

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs `toll` in a directory, with `input` piped to it, until it ends. */
function toll(cwd: string, args: readonly string[], { input = '', env = {} } = {}): Promise<Ran> {
  const child = spawn(process.execPath, [`${root}build/bin/toll.js`, ...args], {
    cwd,
    env: { ...process.env, ...env }
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })))
}

function directoryWith(t: Test, config: unknown): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-cli-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'gateway.config.json'), JSON.stringify(config))
  return directory
}

const auth = { users: { driver: 'file', path: 'users.json' } }

t.test('toll user: add, ls, passwd, rm', async (t) => {
  const cwd = directoryWith(t, { auth, routes: [] })
  t.match(await toll(cwd, ['user', 'ls']), { code: 0, out: 'There are no users.\n' })
  const piped = await toll(cwd, ['user', 'add', 'kesa', '--scope', 'a', '--scope', 'b'], {
    input: '123\nrest\n'
  })
  t.match(piped, { code: 0, out: /^Added "kesa" to .*users\.json\.\n$/ })
  t.match(await toll(cwd, ['user', 'add', 'tess', '--password', 'x', '--role', 'r', '--json']), { code: 0 })
  const { out } = await toll(cwd, ['user', 'ls', '--json'])
  t.same(JSON.parse(out), [
    { user: 'kesa', scopes: ['a', 'b'], roles: [], disabled: false },
    { user: 'tess', scopes: [], roles: ['r'], disabled: false }
  ])
  const before = readFileSync(join(cwd, 'users.json'), 'utf8')
  t.equal((await toll(cwd, ['user', 'passwd', 'tess', '--password', 'y'])).code, 0)
  t.not(readFileSync(join(cwd, 'users.json'), 'utf8'), before)
  t.match(await toll(cwd, ['user', 'add', 'kesa', '--password', 'x']), {
    code: 1,
    err: /there is a user "kesa"/
  })
  t.match(await toll(cwd, ['user', 'add', 'empty']), { code: 1, err: /the password is empty/ })
  t.equal((await toll(cwd, ['user', 'rm', 'tess'])).code, 0)
  t.match(await toll(cwd, ['user', 'rm', 'tess']), { code: 1, err: /^toll: there is no user "tess"/ })
})

t.test('toll user without a users file in the config says what to add', async (t) => {
  const cwd = directoryWith(t, { routes: [] })
  t.match(await toll(cwd, ['user', 'ls']), { code: 1, err: /the config has no users file/ })
})

t.test('toll key: ls and rotate', async (t) => {
  const cwd = directoryWith(t, { auth: {}, routes: [] })
  t.match(await toll(cwd, ['key', 'ls']), { code: 1, err: /cannot be read; "toll start" makes it/ })
  t.match(await toll(cwd, ['key', 'rotate']), { code: 0, out: /has the first keys/ })
  const { out: rotated } = await toll(cwd, ['key', 'rotate'])
  t.match(rotated, /^New keys \w+ and \w+ sign from \S+ on\.\n$/)
  const { out } = await toll(cwd, ['key', 'ls', '--json'])
  const keys = JSON.parse(out) as { use: string; state: string; verifyUntil: string | null }[]
  t.same(
    keys.filter(({ use }) => use === 'sig').map(({ state }) => state),
    ['active', 'next']
  )
  t.notMatch(out, /"[dk]":/)
  t.match((await toll(cwd, ['key', 'ls'])).out, /sig\tES256\tactive\tuntil /)
})

t.test('toll session: count, ls, kick', async (t) => {
  const { origin, admin, directory } = await startGateway(
    t,
    { auth, routes: [] },
    { files: { 'users.json': '{"users":{}}' } }
  )
  const run = (...args: string[]) => toll(directory, ['session', ...args], { env: { TOLL_ADMIN_URL: admin } })
  // A user that is added while the gateway runs can sign in at once.
  await toll(directory, ['user', 'add', 'kesa', '--password', '123'])
  const login = async () =>
    (await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })).body
  const me = async (token: unknown) =>
    (await ask('GET', `${origin}/auth/me`, { token: String(token) })).status
  const [one, two, three] = [await login(), await login(), await login()]
  t.same(JSON.parse((await run('count', '--json')).out), { sessions: 3, users: 1 })
  const listed = await run('ls', '--user', 'kesa')
  for (const { session } of [one, two, three]) t.match(listed.out, String(session))
  t.equal((JSON.parse((await run('ls', '--json')).out) as unknown[]).length, 3)
  t.match(await run('kick', String(one!.session)), { code: 0, out: /^Ended / })
  t.equal(await me(one!.access_token), 401)
  t.equal(await me(two!.access_token), 200)
  t.match(await run('kick', String(one!.session)), { code: 1, err: /There is no session/ })
  t.match(await run('kick'), { code: 1, err: /name one session, or a user/ })
  t.match(await run('kick', '--user', 'kesa'), { code: 0, out: 'Ended 2 of "kesa".\n' })
  t.equal(await me(three!.access_token), 401)
  t.match(await run('ls'), { code: 0, out: 'Nobody is signed in.\n' })
})

const noSys = !existsSync('/sys/kernel') && 'there is no directory here in which nobody may write'

t.test('says in one sentence that a file cannot be changed', { skip: noSys }, async (t) => {
  const cwd = directoryWith(t, { auth: { users: { driver: 'file', path: '/sys/users.json' } }, routes: [] })
  const { code, err } = await toll(cwd, ['user', 'add', 'kesa', '--password', 'x'])
  t.equal(code, 1)
  t.match(
    err,
    /^toll: \/sys\/users\.json cannot be changed: (?:this user may not write to its directory|the file system is read-only)\.\n$/
  )
})
