import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ApiKeys } from '../../services/identity/api-keys/api-keys.ts'
import { addKey, readKeyList, removeKey, rotateKey } from '../../services/identity/api-keys/key-editing.ts'
import { parseKeyList, writeKeyList } from '../../services/identity/api-keys/key-list.ts'
import { hashSecret, makeKeyText, readKeyText } from '../../services/identity/api-keys/key-text.ts'
import type { Holder } from '../../services/identity/parts.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { runTollIn } from '../support/running.ts'
import { exchange, httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const day = 86_400_000
const plain = { scopes: [] as string[], roles: [] as string[], expires: undefined, note: undefined }

function directoryOf(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-apikeys-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Keys in a file, with a clock to turn. */
async function open(t: Test, path: string, clock = { now: Date.now() }) {
  const warnings: string[] = []
  const keys = await ApiKeys.open(
    path,
    () => clock.now,
    (sentence) => warnings.push(sentence)
  )
  t.teardown(() => keys.close())
  return { keys, clock, warnings }
}

/** The time until `look` is true; fails after five seconds. */
async function until(look: () => boolean | Promise<boolean>): Promise<number> {
  const from = performance.now()
  while (!(await look())) {
    if (performance.now() - from > 5000) throw new Error('it does not come about')
    await sleep(10)
  }
  return performance.now() - from
}

t.test('a key can be told from chance, and a mistyped one from a key', async (t) => {
  const { text, id, secret } = makeKeyText()
  t.match(text, /^tlk1_[0-9A-Za-z]{10}_[0-9A-Za-z]{49}$/)
  t.same(readKeyText(text), { id, secret })
  for (const place of [6, 20, 40, text.length - 1]) {
    const other = text[place] === 'a' ? 'b' : 'a'
    t.equal(readKeyText(text.slice(0, place) + other + text.slice(place + 1)), 'apikey.checksum')
  }
  for (const wrong of [
    '',
    'tlk1_',
    text.slice(0, -1),
    `${text}a`,
    ` ${text}`,
    text.replace('tlk1', 'tlk2'),
    `${text}, ${text}`
  ]) {
    t.equal(readKeyText(wrong), 'apikey.malformed', wrong)
  }
  t.equal(new Set(Array.from({ length: 1000 }, () => makeKeyText().text)).size, 1000)
})

t.test('the file keeps nothing a key could be made of, and nobody else may read it', async (t) => {
  const path = join(directoryOf(t), 'api-keys.json')
  const { text, record } = await addKey(path, { ...plain, owner: 'ci', note: 'nightly' }, Date.now())
  const kept = readFileSync(path, 'utf8')
  const { secret, id } = readKeyText(text) as { secret: string; id: string }
  t.notMatch(kept, secret)
  t.notMatch(kept, secret.slice(0, 12))
  t.equal(record.id, id)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.match(JSON.parse(kept), { keys: [{ id, owner: 'ci', scopes: [], note: 'nightly' }] })
})

t.test(
  'a key holds between notBefore and expires, unless it is disabled, with its whole secret',
  async (t) => {
    const path = join(directoryOf(t), 'api-keys.json')
    const start = Date.parse('2030-01-01T00:00:00Z')
    const { text, record } = await addKey(
      path,
      { owner: 'ci', scopes: ['a', 'b'], roles: ['bot'], expires: start + day, note: undefined },
      start
    )
    const write = (changes: object) => writeFileSync(path, writeKeyList([{ ...record, ...changes }]))
    write({ notBefore: '2030-01-01T06:00:00Z' })
    const { keys, clock } = await open(t, path, { now: start })
    t.equal(keys.check(text), 'apikey.nbf')
    clock.now = start + 6 * 3_600_000
    const { notes, ...holder } = keys.check(text) as Holder
    t.ok(notes, 'room for what is written for each of its requests')
    t.same(holder, {
      subject: 'ci',
      session: undefined,
      scopes: ['a', 'b'],
      claims: { sub: 'ci', key_id: record.id, scope: 'a b', roles: ['bot'] },
      isOwn: true,
      key: record.id
    })
    t.ok(Object.isFrozen(keys.check(text)))
    clock.now = start + day - 1
    t.type(keys.check(text), 'object')
    clock.now = start + day
    t.equal(keys.check(text), 'apikey.exp', 'to the millisecond')
    write({ disabled: true })
    await keys.refresh()
    t.equal(keys.check(text), 'apikey.disabled')
    // A wrong secret is told nothing about the key: not that it was disabled, not that it is over.
    write({ hash: hashSecret('another').toString('base64url'), disabled: true })
    await keys.refresh()
    t.equal(keys.check(text), 'apikey.secret')
    t.equal(keys.check(makeKeyText().text), 'apikey.unknown')
  }
)

t.test('rotation gives a successor and an end to the old key', async (t) => {
  const path = join(directoryOf(t), 'api-keys.json')
  const start = Date.parse('2030-01-01T00:00:00Z')
  const first = await addKey(path, { ...plain, owner: 'ci', scopes: ['a'], expires: start + 30 * day }, start)
  const later = start + 20 * day
  const next = await rotateKey(path, first.record.id, { overlap: 7 * day, expires: undefined }, later)
  t.match(next.record, { owner: 'ci', scopes: ['a'], expires: new Date(later + 30 * day).toISOString() })
  const { keys, clock } = await open(t, path, { now: later })
  for (const text of [first.text, next.text]) t.match(keys.check(text), { subject: 'ci' })
  clock.now = later + 7 * day
  t.equal(keys.check(first.text), 'apikey.exp')
  t.match(keys.check(next.text), { subject: 'ci' })
  // The overlap never makes a key live longer.
  const third = await rotateKey(path, next.record.id, { overlap: 90 * day, expires: undefined }, later)
  t.equal(third.old.expires, next.record.expires)
  // A key without an end has a successor without one; an overlap of nothing ends it now.
  const endless = await addKey(path, { ...plain, owner: 'x' }, later)
  const heir = await rotateKey(path, endless.record.id, { overlap: 0, expires: undefined }, later)
  t.equal(heir.record.expires, undefined)
  t.equal(heir.old.expires, new Date(later).toISOString())
  await removeKey(path, heir.record.id)
  t.notOk((await readKeyList(path)).some(({ id }) => id === heir.record.id))
  await t.rejects(removeKey(path, heir.record.id), /there is no API key ".*toll apikey ls/)
})

t.test('mistakes in the file are named by their place, and never with a hash', async (t) => {
  const good = {
    id: 'abcdefghij',
    hash: hashSecret('x').toString('base64url'),
    owner: 'ci',
    scopes: [],
    created: '2026-01-01T00:00:00.000Z'
  }
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [{ keys: [{ ...good, expires: 'soon' }] }, /at \/keys\/0\/expires /],
    [{ keys: [{ ...good, expires: '2026-13-01T00:00:00Z' }] }, /keys\/0\/expires/],
    [{ keys: [good, { ...good, id: 'abc' }] }, /at \/keys\/1\/id /],
    [{ keys: [{ ...good, secret: 'x' }] }, /at \/keys\/0\/secret /],
    [{ keys: [{ ...good, owner: '' }] }, /at \/keys\/0\/owner /],
    [{ keys: [{ ...good, scopes: ['a b'] }] }, /at \/keys\/0\/scopes\/0 /],
    [{ keys: [good, good] }, /two keys with the id "abcdefghij"/],
    [{ key: [] }, /at \/keys? /],
    [[], /at \/ /]
  ]
  for (const [raw, sentence] of cases) {
    t.throws(() => parseKeyList('k.json', JSON.stringify(raw), 0o600), sentence)
    try {
      parseKeyList('k.json', JSON.stringify(raw), 0o600)
    } catch (error) {
      t.notMatch((error as Error).message, good.hash)
    }
  }
  t.throws(
    () => parseKeyList('k.json', '{"keys":', 0o600),
    /k\.json is not a file of API keys: it is not valid JSON/
  )
  t.throws(() => parseKeyList('k.json', JSON.stringify({ keys: [] }), 0o604), /open to anybody .*chmod/)
})

t.test('a broken file keeps the keys of before and is told once', async (t) => {
  const path = join(directoryOf(t), 'api-keys.json')
  await t.rejects(
    ApiKeys.open(path, Date.now, () => {}),
    /is missing; "toll apikey add OWNER" makes it/
  )
  const { text } = await addKey(path, { ...plain, owner: 'ci' }, Date.now())
  const { keys, warnings } = await open(t, path)
  for (const breakIt of [
    () => writeFileSync(path, '{"keys":'),
    () => writeFileSync(path, '{"keys":[{}]}'),
    () => rmSync(path)
  ]) {
    breakIt()
    await keys.refresh()
    await keys.refresh()
    t.match(keys.check(text), { subject: 'ci' })
  }
  t.equal(warnings.length, 3)
  writeFileSync(path, '{"keys":[]}', { mode: 0o600 })
  await keys.refresh()
  t.equal(keys.check(text), 'apikey.unknown')
  chmodSync(path, 0o606)
  await keys.refresh()
  t.match(warnings.at(-1), /chmod/)
})

t.test('ten thousand keys are read fast and cost little', async (t) => {
  const path = join(directoryOf(t), 'api-keys.json')
  const made = Array.from({ length: 10_000 }, () => makeKeyText())
  const created = new Date().toISOString()
  const records = made.map(({ id, secret }, index) => ({
    id,
    hash: hashSecret(secret).toString('base64url'),
    owner: `owner-${index}`,
    scopes: ['orders:read', 'orders:write'],
    created
  }))
  writeFileSync(path, writeKeyList(records), { mode: 0o600 })
  const before = process.memoryUsage().heapUsed
  const from = performance.now()
  const { keys } = await open(t, path)
  const took = performance.now() - from
  const grown = (process.memoryUsage().heapUsed - before) / 2 ** 20
  t.comment(`10,000 keys: ${took.toFixed(0)} ms, ${grown.toFixed(0)} MiB of heap, garbage included`)
  t.ok(took < 3000)
  t.match(keys.check(made[9999]!.text), { subject: 'owner-9999' })
})

const users = await usersFile({ kesa: { password: '123', scopes: ['orders:read'] } })

/** A gateway with keys, a route for each way of asking for one, and a service that tells what it got. */
async function startWithKeys(t: Test, { path = '' } = {}) {
  const up = await httpUpstream(t, ({ rawHeaders }, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ rawHeaders }))
  })
  const directory = directoryOf(t)
  const file = path === '' ? join(directory, 'api-keys.json') : path
  const { text, record } = await addKey(file, { ...plain, owner: 'ci', scopes: ['orders:read'] }, Date.now())
  const route = (id: string, auth: unknown, more: object = {}) => ({
    id,
    path: `/${id}/*`,
    service: 'up',
    auth,
    ...more
  })
  const gateway = await startGateway(
    t,
    {
      store: { driver: 'embedded', path: 'store' },
      services: { up: { nodes: [up.url] } },
      routes: [
        route('keys', { credentials: ['api-key'] }),
        route('both', { credentials: ['bearer', 'api-key'], scopes: ['orders:read'] }),
        route('write', { credentials: ['api-key'], scopes: ['orders:write'] }),
        route('strict', { credentials: ['bearer', 'api-key'], session: 'strict' }),
        route('tokens', 'required'),
        route('open', 'none'),
        route('limited', { credentials: ['api-key'] }, { limit: { qps: 0.01, slack: 1, by: 'api-key' } })
      ],
      auth: { users: { driver: 'file', path: 'users.json' }, apiKeys: { path: file } }
    },
    { files: { 'users.json': users } }
  )
  const get = (path: string, key?: string, headers: Record<string, string> = {}) =>
    ask('GET', gateway.origin + path, {
      headers: { ...(key !== undefined && { 'x-api-key': key }), ...headers }
    })
  return { ...gateway, file, text, record, get, up }
}

t.test('a route takes a key where it says so, and the service is told who asks', async (t) => {
  const { get, origin, text, record, log } = await startWithKeys(t)
  for (const path of ['/keys/x', '/both/x', '/strict/x']) {
    const { status, body } = await get(path, text)
    t.equal(status, 200, path)
    const sent = (body.rawHeaders as string[]).join('\n')
    t.match(sent, /x-user-id\nci\n/)
    t.match(sent, /x-scopes\norders:read/)
    t.notMatch(sent, /x-session-id/)
  }
  const line = log().find(({ path }) => path === '/keys/x')
  t.match(line, { subject: 'ci', key: record.id, status: 200 })
  // A user's token goes where both are taken, and only there.
  const { body } = await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } })
  const bearer = { authorization: `Bearer ${String(body.access_token)}` }
  t.equal((await get('/both/x', undefined, bearer)).status, 200)
  t.equal((await get('/keys/x', undefined, bearer)).status, 401)
  t.equal((await get('/tokens/x', text)).status, 401, 'a route for tokens does not look at keys')
  t.equal((await get('/both/x', text, bearer)).status, 401, 'two credentials')
  t.equal((await get('/auth/me', text)).status, 401, 'the doors are for sessions')
})

t.test('what is refused says so with a challenge of its own', async (t) => {
  const { get, text, log } = await startWithKeys(t)
  const wrong = text.slice(0, -1) + (text.endsWith('a') ? 'b' : 'a')
  const cases = [
    ['/keys/none', undefined, 401, 'missing', 'ApiKey realm="tollkeeper"'],
    ['/both/none', undefined, 401, 'missing', 'Bearer realm="tollkeeper", ApiKey realm="tollkeeper"'],
    ['/keys/typo', wrong, 401, 'apikey.checksum', 'ApiKey realm="tollkeeper", error="invalid_key"'],
    ['/keys/junk', 'hello', 401, 'apikey.malformed', 'ApiKey realm="tollkeeper", error="invalid_key"'],
    [
      '/keys/unknown',
      makeKeyText().text,
      401,
      'apikey.unknown',
      'ApiKey realm="tollkeeper", error="invalid_key"'
    ],
    [
      '/write/x',
      text,
      403,
      'scope',
      'ApiKey realm="tollkeeper", error="insufficient_scope", scope="orders:write"'
    ]
  ] as const
  for (const [path, key, status, reason, challenge] of cases) {
    const answer = await get(path, key)
    t.equal(answer.status, status, path)
    t.equal(answer.headers.get('www-authenticate'), challenge)
    t.equal(log().find((line) => line.path === path)?.reason, reason)
  }
})

t.test('the header is for the gateway alone, in every spelling, on every route', async (t) => {
  const { origin, text, log } = await startWithKeys(t)
  for (const path of ['/keys/x', '/open/x']) {
    const spellings = ['X_Api_Key', 'X.Api.Key', 'x-api_key'].map((name) => `${name}: ${text}\r\n`).join('')
    const answer = await exchange(
      origin,
      `GET ${path} HTTP/1.1\r\nHost: a\r\nX-API-Key: ${text}\r\n${spellings}Connection: close\r\n\r\n`
    )
    t.match(answer, /^HTTP\/1\.1 200/)
    t.notMatch(answer, text)
    t.notMatch(answer, /api.key/i)
  }
  const twice = await exchange(
    origin,
    `GET /keys/twice HTTP/1.1\r\nHost: a\r\nX-API-Key: ${text}\r\nx-api-key: ${text}\r\nConnection: close\r\n\r\n`
  )
  t.match(twice, /^HTTP\/1\.1 400/)
  t.notMatch(twice, text)
  const misspelt = await exchange(
    origin,
    `GET /keys/y HTTP/1.1\r\nHost: a\r\nX_API_Key: ${text}\r\nConnection: close\r\n\r\n`
  )
  t.match(misspelt, /^HTTP\/1\.1 401/, 'only the name itself brings a key')
  t.notMatch(JSON.stringify(log()), text.slice(16, 30))
})

t.test('each key has a limit of its own', async (t) => {
  const { get, text, file } = await startWithKeys(t)
  const other = await addKey(file, { ...plain, owner: 'ci' }, Date.now())
  await until(async () => (await get('/keys/x', other.text)).status === 200)
  const statuses = async (key: string) => [
    (await get('/limited/x', key)).status,
    (await get('/limited/x', key)).status,
    (await get('/limited/x', key)).status
  ]
  t.same(await statuses(text), [200, 200, 429])
  t.same(await statuses(other.text), [200, 200, 429], 'the same owner, another key')
})

t.test('what becomes of a key is in force on every node within two seconds', async (t) => {
  const a = await startWithKeys(t)
  const b = await startWithKeys(t, { path: a.file })
  await until(async () => (await b.get('/keys/x', a.text)).status === 200)
  const added = await addKey(a.file, { ...plain, owner: 'new' }, Date.now())
  for (const node of [a, b]) {
    const took = await until(async () => (await node.get('/keys/x', added.text)).status === 200)
    t.ok(took < 2000, `taken after ${took.toFixed(0)} ms`)
  }
  await removeKey(a.file, added.record.id)
  const gone = await Promise.all(
    [a, b].map((node) => until(async () => (await node.get('/keys/x', added.text)).status === 401))
  )
  t.comment(`refused after ${gone.map((ms) => ms.toFixed(0)).join(' and ')} ms`)
  for (const took of gone) t.ok(took < 2000)
  // An end needs no file to be read.
  const short = await addKey(a.file, { ...plain, owner: 'short', expires: Date.now() + 4000 }, Date.now())
  await until(async () => (await a.get('/keys/x', short.text)).status === 200)
  await until(async () => (await a.get('/keys/x', short.text)).status === 401)
  t.ok(Date.now() >= Date.parse(short.record.expires!))
})

t.test('a config that cannot work is refused with its place', async (t) => {
  const directory = directoryOf(t)
  const check = async (config: object) => {
    writeFileSync(
      join(directory, 'gateway.config.json'),
      JSON.stringify({ services: { up: { nodes: ['http://127.0.0.1:9'] } }, ...config }, undefined, 2)
    )
    const { ended, output } = runTollIn(t, directory, ['check', '--json'])
    const code = await ended
    return { code, text: output.out }
  }
  const route = { id: 'a', path: '/a', service: 'up', auth: { credentials: ['api-key'] } }
  const none = await check({ routes: [route], auth: {} })
  t.equal(none.code, 2)
  t.match(none.text, /takes API keys, and there are none/)
  for (const header of ['Authorization', 'x_user_id', 'cookie', 'X.Gateway.Assertion']) {
    const { code, text } = await check({ routes: [route], auth: { apiKeys: { header } } })
    t.equal(code, 2)
    t.match(text, /is about something else already/)
  }
  const unused = await check({ routes: [{ ...route, auth: 'none' }], auth: { apiKeys: {} } })
  t.equal(unused.code, 0)
  t.match(unused.text, /no route takes API keys/)
})

t.test('toll apikey makes, lists, rotates and removes', async (t) => {
  const directory = directoryOf(t)
  writeFileSync(
    join(directory, 'gateway.config.json'),
    JSON.stringify({
      services: { up: { nodes: ['http://127.0.0.1:9'] } },
      routes: [{ id: 'a', path: '/a', service: 'up', auth: { credentials: ['api-key'] } }],
      auth: { apiKeys: {} }
    })
  )
  const toll = async (...args: string[]) => {
    const { ended, output } = runTollIn(t, directory, ['apikey', ...args])
    return { code: await ended, ...output }
  }
  // The files stay for the next command: the directory goes with the test.
  const added = await toll(
    'add',
    'ci',
    '--scopes',
    'a,b',
    '--scopes',
    'c',
    '--expires',
    '90d',
    '--note',
    'nightly'
  )
  t.equal(added.code, 0, added.err)
  t.match(added.out, /^tlk1_\w+\n$/, 'the key alone')
  t.match(added.err, /shown once/)
  const { id } = readKeyText(added.out.trim()) as { id: string }
  const [listed] = JSON.parse((await toll('ls', '--json')).out) as Record<string, unknown>[]
  t.match(listed, { id, owner: 'ci', scopes: ['a', 'b', 'c'], note: 'nightly', state: 'active' })
  t.notOk('hash' in listed!)
  const rotated = JSON.parse((await toll('rotate', id, '--overlap', '7d', '--json')).out) as Record<
    string,
    string
  >
  t.match(rotated, { replaces: id, owner: 'ci', scopes: ['a', 'b', 'c'], key: /^tlk1_/ })
  t.notOk('hash' in rotated)
  t.match((await toll('ls')).out, new RegExp(`${id}\tci\ta b c\tactive\t.*\tnightly\n${rotated.id}`))
  t.match(await toll('rm', id), { code: 0, out: `Removed the key ${id} of "ci".\n` })
  t.match(await toll('rm', id), { code: 1, err: /there is no API key/ })
  t.match(await toll('add', 'x', '--expires', 'soon'), { code: 1, err: /--expires is a number with/ })
  t.match(await toll('add', 'x', '--scopes', 'ä'), { code: 1, err: /scopes/ })
})
