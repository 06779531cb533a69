import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { KeyRing } from '../../services/identity/keys/key-ring.ts'
import {
  cookieOf,
  deviceCookie,
  newDevice,
  readDevice,
  writeDevice
} from '../../services/identity/users/device.ts'
import { LockOut } from '../../services/identity/users/lock-out.ts'
import {
  counterPrefix,
  listLocks,
  lockIndex,
  type Mode,
  tally,
  unlock
} from '../../services/identity/users/tally.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { runToll } from '../support/running.ts'
import { openStores, storeConfigs } from '../support/stores.ts'
import { usersFile } from '../support/users.ts'

const files = {
  'users.json': await usersFile({
    kesa: { password: '123' },
    tess: { password: '123' },
    gone: { password: '123', disabled: true }
  })
}
const directory = mkdtempSync(join(tmpdir(), 'toll-lock-out-'))
const keys = await KeyRing.open(join(directory, 'keys.json'))
t.teardown(() => {
  keys.close()
  rmSync(directory, { recursive: true, force: true })
})

for (const store of await openStores(t)) {
  let tests = 0
  const open = (options: Record<string, unknown> = {}) => {
    tests += 1
    const suffix = `${tests}`
    const home = `192.0.2.${tests}`
    const warnings: string[] = []
    const whole = {
      failures: 3,
      perUser: 6,
      perAddress: 0,
      first: '30s',
      longest: '2m',
      window: '15m',
      device: '30d',
      ...options
    }
    const lockOut = new LockOut(whole, { store, keys, now: Date.now, warn: (text) => warnings.push(text) })
    const begin = (name = 'kesa', address = home, device?: string) =>
      lockOut.begin(name + suffix, { address, device })
    const fail = async (...who: Parameters<typeof begin>) => (await begin(...who)).failed()
    const pass = async (...who: Parameters<typeof begin>) => (await begin(...who)).passed()
    return { lockOut, begin, fail, pass, warnings, suffix, home }
  }
  const locked = (kind: string, wait: string) => ({
    code: 'TOO_MANY_ATTEMPTS',
    statusCode: 429,
    reason: `locked.${kind}`,
    headers: { 'retry-after': wait }
  })
  const refusalOf = async (attempt: Promise<unknown>) =>
    attempt.then(
      () => undefined,
      (error) => error
    )

  t.test(`${store.driver}: the counters climb their ladder by the store's clock`, async (t) => {
    const key = `${counterPrefix}u:ladder`
    const run = (mode: Mode, first = 200, longest = 700) =>
      store.run(tally, [lockIndex, key], [mode, first, longest, 1000, 'u:ladder', 2])
    t.same(await run('look'), { wait: 0, locked: [] })
    t.same(await run('failed'), { wait: 0, locked: [] })
    t.same(await run('failed'), { wait: 0, locked: [0] }, 'the second locks')
    const { wait, locked: by } = await run('failed', 99_999)
    t.ok(wait > 100 && wait <= 200, `${wait}`)
    t.same(by, [0], 'and while it is locked nothing is counted')
    await sleep(210)
    t.same(await run('failed'), { wait: 0, locked: [0] })
    const { wait: doubled } = await run('look')
    t.ok(doubled > 300 && doubled <= 400, `${doubled}`)
    await sleep(410)
    await run('failed')
    const { wait: most } = await run('look')
    t.ok(most > 600 && most <= 700, `${most}`)
    await sleep(1800)
    t.same(await run('failed'), { wait: 0, locked: [] }, 'forgotten after the window')
  })

  t.test(`${store.driver}: locks are listed, and lifted for one user`, async (t) => {
    const lock = (name: string) =>
      store.run(tally, [lockIndex, counterPrefix + name], ['failed', 5000, 5000, 9000, name, 1])
    for (const name of [
      'u:lift00000000',
      'p:lift00000000:::1/64',
      'd:lift00000000:x',
      'u:other0000000',
      'a:lift00000000'
    ]) {
      await lock(name)
    }
    const names = async () => (await store.run(listLocks, [lockIndex], [1000])).map(([name]) => name)
    t.same((await names()).filter((name) => /lift|other/.test(name)).sort(), [
      'a:lift00000000',
      'd:lift00000000:x',
      'p:lift00000000:::1/64',
      'u:lift00000000',
      'u:other0000000'
    ])
    t.equal(await store.run(unlock, [lockIndex], [counterPrefix, 'lift00000000']), 3)
    t.same((await names()).filter((name) => /lift|other/.test(name)).sort(), [
      'a:lift00000000',
      'u:other0000000'
    ])
    t.equal(await store.run(unlock, [lockIndex], [counterPrefix, 'lift00000000']), 0)
    t.equal((await store.run(listLocks, [lockIndex], [1])).length, 1)
  })

  t.test(`${store.driver}: a user is locked for one address, and goes on from another`, async (t) => {
    const { begin, fail, pass, lockOut, suffix, warnings, home } = open()
    t.same([await fail(), await fail(), await fail()], ['credentials', 'credentials', 'credentials.locked'])
    t.match(await refusalOf(begin()), locked('pair', '30'))
    t.match(await refusalOf(begin(' KESA')), locked('pair', '30'), 'as are other spellings of the name')
    t.ok(await pass('kesa', '192.0.2.200'))
    t.ok(await pass('tess'))
    const [lock] = (await lockOut.list([`kesa${suffix}`])).filter(({ user }) => user === `kesa${suffix}`)
    t.match(lock, { kind: 'pair', address: home })
    t.equal(await lockOut.unlock(`kesa${suffix}`), 1)
    t.ok(await pass())
    t.equal(warnings.length, 1)
    t.notMatch(warnings[0], /kesa|192/)
  })

  t.test(`${store.driver}: no spelling of a name is a way round its count`, async (t) => {
    const rows: [name: string, others: string[]][] = [
      ['case', ['CASE', 'cAsE', 'Case']],
      ['blank', [' blank', 'bl ank', 'bla\tnk', '\u3000blank\u00a0']],
      ['wide', ['ｗide', '𝐰ide', 'ⓦide']],
      ['unseen', ['un\u200bseen', '\u00adunseen', 'unse\u2060en', 'unseen\ufe0f', 'unseen\0']],
      ['accent', ['áccent', 'àccent', 'accén\u0323t']],
      ['straße', ['STRASSE', 'STRAẞE', 'ſtraſſe']],
      ['νικος', ['ΝΙΚΟΣ', 'νικοσ', 'Νίκος']],
      ['istanbul', ['İstanbul', 'ısTANBUL', 'ISTANBUL']]
    ]
    for (const [name, others] of rows) {
      const { begin, fail } = open({ failures: 3 })
      for (const other of [name, ...others].slice(0, 3)) await fail(other)
      for (const other of [name, ...others]) {
        t.match(await refusalOf(begin(other)), locked('pair', '30'), JSON.stringify(other))
      }
      t.equal(await refusalOf(begin(`${name}x`)), undefined, 'another name is another')
    }
  })

  t.test(`${store.driver}: a device of "alice" is none of "Alice"`, async (t) => {
    const { begin, fail, pass } = open({ failures: 0, perUser: 2 })
    const device = (await pass('alice'))!
    for (let turn = 1; turn <= 2; turn += 1) await fail('Alice', `198.51.100.${turn}`)
    t.match(await refusalOf(begin('Alice', '203.0.113.1', device)), locked('user', '30'))
    t.equal(await refusalOf(begin('alice', '203.0.113.1', device)), undefined)
  })

  t.test(`${store.driver}: success clears what was counted for the pair, and nothing else`, async (t) => {
    const { begin, fail, pass } = open({ perAddress: 8 })
    await fail()
    await fail()
    await pass()
    t.equal(await fail(), 'credentials', 'a fresh start')
    // One's own account does not help against another's.
    for (let turn = 0; turn < 2; turn += 1) {
      await fail('tess')
      await pass('mine')
    }
    t.equal(await fail('tess'), 'credentials.locked')
    // Nor against the count of the address: 3 + 3 so far.
    await fail('one')
    await pass('mine')
    t.equal(await fail('two'), 'credentials.locked')
    t.match(await refusalOf(begin('mine')), locked('address', '30'))
  })

  t.test(
    `${store.driver}: many addresses lock a user everywhere, but not the devices he has used`,
    async (t) => {
      const { begin, fail, pass } = open({ perAddress: 7 })
      const device = (await pass())!
      t.match(device, /^tld1\./)
      for (let turn = 1; turn <= 6; turn += 1) await fail('kesa', `198.51.100.${turn}`)
      t.match(await refusalOf(begin('kesa', '203.0.113.1')), locked('user', '30'))
      t.equal(await pass('kesa', '203.0.113.1', device), undefined, 'known, and in date')
      t.match(await refusalOf(begin('kesa', '203.0.113.1', `${device.slice(0, -2)}AA`)), locked('user', '30'))
      // The device has a ladder of its own.
      for (let turn = 0; turn < 3; turn += 1) await fail('kesa', '203.0.113.2', device)
      t.match(await refusalOf(begin('kesa', '203.0.113.3', device)), locked('device', '30'))
      // And the count of the address is in force for it, too.
      for (let turn = 0; turn < 7; turn += 1) await fail(`other${turn}`, '203.0.113.9')
      const other = await pass('tess')
      t.match(await refusalOf(begin('tess', '203.0.113.9', other)), locked('address', '30'))
    }
  )

  t.test(`${store.driver}: an IPv6 network is one address`, async (t) => {
    const { begin, fail } = open()
    for (let turn = 1; turn <= 3; turn += 1) await fail('kesa', `2001:db8::${turn}`)
    t.match(await refusalOf(begin('kesa', '2001:db8::ffff')), locked('pair', '30'))
    t.equal(await refusalOf(begin('kesa', '2001:db8:0:1::1')), undefined)
  })

  t.test(`${store.driver}: of guesses sent at once no more than the limit are answered`, async (t) => {
    const { begin } = open()
    const attempts = await Promise.all(Array.from({ length: 40 }, () => begin()))
    const wrong = attempts.slice(0, -1).map((attempt) => refusalOf(attempt.failed()))
    const refusals = (await Promise.all(wrong)).filter((refusal) => refusal !== undefined)
    t.equal(refusals.length, 36)
    t.match(await refusalOf(attempts.at(-1)!.passed()), locked('pair', '30'), 'not even the right one')
  })

  t.test(`${store.driver}: right passwords sent at once are all right`, async (t) => {
    const { pass } = open()
    const devices = await Promise.all(Array.from({ length: 40 }, () => pass()))
    t.equal(devices.filter((device) => device !== undefined).length, 40)
  })

  t.test(`${store.driver}: a limit of 0 is none`, async (t) => {
    const { fail, pass } = open({ failures: 0, perUser: 0, device: '0s' })
    for (let turn = 0; turn < 20; turn += 1) t.equal(await fail(), 'credentials')
    t.equal(await pass(), undefined)
  })
}

t.test('a device is believed only as it was written', async (t) => {
  const now = Date.now()
  const device = newDevice('userhash0000', Math.floor(now / 1000) + 60)
  const written = writeDevice(device, keys)
  t.same(readDevice(written, 'userhash0000', keys, now), device)
  t.equal(readDevice(written, 'userhash0001', keys, now), undefined, "another user's")
  t.equal(readDevice(written, 'userhash0000', keys, now + 61_000), undefined, 'over')
  for (const [part, other] of [
    [`.${device.id}.`, '.AAAAAAAAAAAAAAAA.'],
    [`.${device.expiresAt}.`, '.99999999999.'],
    ['tld1.', 'tlr1.'],
    [/.$/, '~']
  ] as const) {
    t.equal(readDevice(written.replace(part, other), 'userhash0000', keys, now), undefined, String(part))
  }
  t.equal(cookieOf('a=1; b=2;c=3', 'b'), '2')
  t.equal(cookieOf('a=1; b=2;c=3', 'c'), '3')
  t.equal(cookieOf('ab=1', 'b'), undefined)
  t.equal(cookieOf(undefined, 'b'), undefined)
})

async function start(t: Test, config: Record<string, unknown>) {
  const gateway = await startGateway(t, { ...config, routes: [] }, { files })
  const token = () => readFileSync(join(gateway.directory, '.toll/admin-token'), 'utf8').trim()
  return {
    ...gateway,
    token,
    login: (username: string, password: string, cookie?: string) =>
      ask('POST', `${gateway.origin}/auth/login`, {
        json: { username, password },
        headers: cookie === undefined ? {} : { cookie }
      }),
    asAdmin: (method: string, path: string) => ask(method, gateway.admin + path, { token: token() })
  }
}

for (const store of await storeConfigs(t)) {
  const auth = { users: { path: 'users.json' } }

  t.test(
    `${store.driver}: known, unknown and disabled users are locked alike, without hashing`,
    async (t) => {
      const { login, log, asAdmin } = await start(t, { store, auth })
      const told = async (name: string) => {
        const answers = []
        for (let turn = 0; turn < 6; turn += 1) answers.push(await login(name, 'wrong'))
        return answers.map(({ status, body: { requestId: _, ...body }, headers }) => ({
          status,
          body: { ...body, detail: String(body.detail).replace(/\d+/, 'N') },
          wait: headers.has('retry-after')
        }))
      }
      const known = await told('kesa')
      t.same(
        known.map(({ status }) => status),
        [401, 401, 401, 401, 401, 429]
      )
      t.match(known[5], { wait: true, body: { code: 'TOO_MANY_ATTEMPTS' } })
      t.same(await told('nobody'), known)
      t.same(await told('gone'), known)
      const right = await login('kesa', '123')
      t.equal(right.status, 429)
      t.ok(Number(right.headers.get('retry-after')) <= 30)
      const locked = log().filter(({ reason }) => reason === 'locked.pair')
      t.equal(locked.length, 4)
      t.ok(log().some(({ reason }) => reason === 'credentials.locked'))
      t.notMatch(JSON.stringify(log()), /kesa|nobody|wrong"/)
      const { body } = await asAdmin('GET', '/admin/lockouts')
      t.same(
        (body.lockouts as { user?: string }[]).map(({ user }) => user ?? '?').sort(),
        ['?', 'gone', 'kesa'],
        'named where there is such a user'
      )
      t.match(
        (await asAdmin('GET', '/metrics')).text,
        /refusals_total\{code="TOO_MANY_ATTEMPTS",reason="locked.pair"\} 4/
      )
    }
  )

  t.test(`${store.driver}: a browser that has signed in is known, an administrator unlocks`, async (t) => {
    const { login, asAdmin, admin, token, origin } = await start(t, {
      store,
      auth: { ...auth, lockout: { failures: 0, perUser: 2 } }
    })
    const cookie = (await login('tess', '123')).headers.get('set-cookie')!
    t.match(
      cookie,
      /^__Secure-toll_device=tld1\.\S+; Path=\/auth\/login; Max-Age=2592000; HttpOnly; Secure; SameSite=Strict$/
    )
    const [pair = ''] = cookie.split(';')
    t.ok(pair.startsWith(deviceCookie))
    for (let turn = 0; turn < 2; turn += 1) await login('tess', 'wrong')
    t.equal((await login('tess', '123')).status, 429, 'anybody could do that to tess')
    const known = await login('tess', '123', `theme=dark; ${pair}`)
    t.equal(known.status, 200)
    t.equal(known.headers.get('set-cookie'), null, 'it has one')
    t.equal((await login('kesa', '123', pair)).status, 200, "another user's is none")
    const elsewhere = await ask('POST', `${origin}/auth/login`, {
      form: 'username=kesa&password=123',
      headers: { 'sec-fetch-site': 'cross-site' }
    })
    t.equal(elsewhere.status, 200)
    t.equal(elsewhere.headers.get('set-cookie'), null, 'no other site takes the mark away')
    const env = { TOLL_ADMIN_URL: admin, TOLL_ADMIN_TOKEN: token() }
    const toll = runToll(t, ['user', 'unlock', 'tess'], {}, env)
    t.equal(await toll.ended, 0, toll.output.err)
    t.equal(toll.output.out, 'Unlocked "tess".\n')
    t.equal((await login('tess', '123')).status, 200)
    t.match((await asAdmin('DELETE', '/admin/lockouts/tess')).body, { unlocked: 0 })
  })
}

t.test('two gateways count together, and without the store nobody signs in', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const config = {
    store: { driver: 'redis', url: redis.url, timeout: '500ms' },
    auth: { users: { path: 'users.json' }, keys: { path: join(directory, 'keys.json') } }
  }
  const [one, two] = [await start(t, config), await start(t, config)]
  for (let turn = 0; turn < 5; turn += 1) await (turn % 2 ? one : two).login('kesa', 'wrong')
  for (const gateway of [one, two]) t.equal((await gateway.login('kesa', '123')).status, 429)
  await redis.stop()
  t.match(await one.login('tess', '123'), { status: 503, body: { code: 'STORE_UNAVAILABLE' } })
})
