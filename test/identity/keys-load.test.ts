import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ask } from '../support/client.ts'
import { root } from '../support/console.ts'
import { freePorts } from '../support/ports.ts'
import { startToll } from '../support/toll.ts'
import { usersFile } from '../support/users.ts'

const run = promisify(execFile)
const kidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()).kid as string

t.test('two gateways under load: a rotation refuses nobody, announced or at once', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'toll-rotate-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'users.json'), await usersFile({ kesa: { password: '123' } }))
  const ports = await freePorts(4)
  const configs = ['a', 'b'].map((name, index) => {
    const path = join(directory, `${name}.config.json`)
    const listen = { public: `127.0.0.1:${ports[index]}`, admin: `127.0.0.1:${ports[index + 2]}` }
    const auth = { users: { driver: 'file', path: 'users.json' }, sessions: { max: 0 } }
    writeFileSync(path, JSON.stringify({ listen, auth, doors: { refresh: { max: 1_000_000 } }, routes: [] }))
    return { path, admin: listen.admin, origin: `http://${listen.public}` }
  })
  await Promise.all(
    configs.map(({ path, admin }) => startToll(t, ['start', '--config', path], { cwd: directory, admin }))
  )
  const [a = '', b = ''] = configs.map(({ origin }) => origin)

  // A session that is refreshed at one gateway and used at the other, again and again, and old tokens all the while.
  const refused: string[] = []
  const kids = new Set<string>()
  let asked = 0
  let isOver = false
  const use = async (origin: string, token: string): Promise<void> => {
    asked += 1
    const { status, text } = await ask('GET', `${origin}/auth/me`, { token })
    if (status !== 200) refused.push(`me ${status} ${text}`)
  }
  const worker = async (): Promise<void> => {
    const { body } = await ask('POST', `${a}/auth/login`, { json: { username: 'kesa', password: '123' } })
    const first = String(body.access_token)
    let refreshToken = body.refresh_token
    for (let turn = 0; !isOver; turn++) {
      const [here, there] = turn % 2 === 0 ? [a, b] : [b, a]
      asked += 1
      const next = await ask('POST', `${here}/auth/refresh`, { json: { refresh_token: refreshToken } })
      if (next.status !== 200) refused.push(`refresh ${next.status} ${next.text}`)
      refreshToken = next.body.refresh_token
      const token = String(next.body.access_token)
      kids.add(kidOf(token))
      await Promise.all([use(there!, token), use(here!, token), use(there!, first)])
    }
  }
  const workers = Promise.all(Array.from({ length: 4 }, worker))
  const toll = (...args: string[]) =>
    run(process.execPath, [
      `${root}build/bin/toll.js`,
      'key',
      'rotate',
      '--config',
      configs[0]!.path,
      ...args
    ])
  const signed = async (count: number): Promise<void> => {
    const deadline = Date.now() + 8000
    while (kids.size < count && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await toll('--ahead', '4s', '--algorithm', 'EdDSA')
  await signed(2)
  await toll('--now')
  await signed(3)
  isOver = true
  await workers
  t.same(refused, [])
  t.equal(kids.size, 3, 'both rotations happened under the load')
  t.ok(asked > 200)
  t.comment(`${asked} requests, ${refused.length} refused, ${kids.size} keys signed`)
})
