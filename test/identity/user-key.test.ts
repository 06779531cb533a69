import { execFile } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { markRevoked, newKeys, rotateKeys, writeKeys } from '../../services/identity/keys/key-file.ts'
import { KeyRing } from '../../services/identity/keys/key-ring.ts'
import { signForUser } from '../../services/identity/keys/user-tokens.ts'
import type { AccessClaims } from '../../services/identity/tokens/claims.ts'
import { maxUserPayload, type UserKeys } from '../../services/identity/tokens/user-key.ts'
import { Verifier } from '../../services/identity/tokens/verifier.ts'
import { plainNode } from '../support/toll.ts'

const now = 1_800_000_000
const rules = { issuer: 'gw', skew: 5, maxLifetime: 900 }
const claims: AccessClaims = {
  iss: 'gw',
  sub: 'alice',
  aud: 'api',
  iat: now,
  exp: now + 900,
  jti: 'j1',
  sid: 's1',
  ep: 3,
  scope: 'a b'
}

const pathOf = (t: Test): string => {
  const directory = mkdtempSync(join(tmpdir(), 'toll-user-keys-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'keys.json')
}

async function open(t: Test, path = pathOf(t), perUser = true) {
  const ring = await KeyRing.open(path, { now: () => now * 1000, perUser })
  t.teardown(() => ring.close())
  const kid = ring.list().find(({ use, state }) => use === 'per-user' && state === 'active')?.kid ?? ''
  return { path, ring, kid, verifier: new Verifier(ring, rules, () => now * 1000) }
}

const encode = (part: unknown): string =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')

/** A token as somebody writes it who has this secret. */
function written(secret: string | Buffer, kid: string, payload: unknown, alg = 'HS256'): string {
  const input = `${encode({ alg, typ: 'at+jwt', kid })}.${encode(payload)}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

const secretOf = (ring: KeyRing, kid: string, subject = 'alice', epoch = 3, issuer = 'gw'): Buffer =>
  ring.checker(kid, { issuer, subject, epoch }) as Buffer

t.test('a token by the key of its user passes the same checks as any other', async (t) => {
  const { ring, kid, verifier } = await open(t)
  const token = signForUser(ring, claims, () => {})
  t.match(JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()), {
    alg: 'HS256',
    typ: 'at+jwt',
    kid
  })
  t.match(verifier.verify(token, 'api'), { subject: 'alice', session: 's1', scopes: ['a', 'b'], kid })
  t.equal(verifier.verify(token, 'other'), 'claims.aud')
  const wrong: readonly (readonly [object, string])[] = [
    [{ exp: now }, 'claims.exp'],
    [{ exp: now + 2000 }, 'claims.exp'],
    [{ iss: 'other' }, 'claims.iss'],
    [{ iat: now + 60 }, 'claims.iat'],
    [{ nbf: now + 60 }, 'claims.nbf'],
    [{ jti: undefined }, 'claims.form'],
    [{ roles: 'admin' }, 'claims.form']
  ]
  for (const [change, reason] of wrong) {
    const made = written(secretOf(ring, kid), kid, { ...claims, ...change })
    t.equal(verifier.verify(made, 'api'), reason, `${JSON.stringify(change)}`)
  }
})

t.test("a user's key makes no token of anybody else, of another epoch or for another issuer", async (t) => {
  const { ring, kid, verifier } = await open(t)
  const stolen = secretOf(ring, kid)
  t.match(verifier.verify(written(stolen, kid, claims), 'api'), { subject: 'alice' })
  t.equal(verifier.verify(written(stolen, kid, { ...claims, sub: 'bob' }), 'api'), 'signature')
  t.equal(verifier.verify(written(stolen, kid, { ...claims, ep: 4 }), 'api'), 'signature')
  const elsewhere = secretOf(ring, kid, 'alice', 3, 'other')
  t.equal(verifier.verify(written(elsewhere, kid, claims), 'api'), 'signature')
  // Parts that would run together if they were only put side by side.
  const owners: readonly (readonly [string, number, string])[] = [
    ['a', 11, 'gw'],
    ['a1', 1, 'gw'],
    ['a,1', 1, 'gw'],
    ['a",1', 1, 'gw'],
    ['a', 1, 'gw1'],
    ['a', 1, 'gw'],
    ['"a"', 1, 'gw'],
    ['A', 1, 'gw'],
    ['á', 1, 'gw'],
    ['a\u0301', 1, 'gw']
  ]
  t.equal(new Set(owners.map((owner) => secretOf(ring, kid, ...owner).toString('hex'))).size, owners.length)
  // The longest there may be, in the characters that take most room.
  const longest = '字'.repeat(255)
  t.match(
    verifier.verify(
      signForUser(ring, { ...claims, sub: longest }, () => {}),
      'api'
    ),
    {
      subject: longest
    }
  )
})

t.test('keys and algorithms cannot be mixed up', async (t) => {
  const { path, ring, kid, verifier } = await open(t)
  const es = ring.active().kid
  const { keys } = JSON.parse(readFileSync(path, 'utf8')) as {
    keys: { kid: string; k?: string; use: string }[]
  }
  const master = Buffer.from(keys.find((key) => key.kid === kid)!.k!, 'base64url')
  t.equal(verifier.verify(written(master, kid, claims), 'api'), 'signature', 'the raw master secret')
  t.equal(verifier.verify(written(secretOf(ring, kid), es, claims), 'api'), 'alg')
  t.equal(verifier.verify(written(ring.active().checker, es, claims), 'api'), 'alg', 'the public key')
  t.equal(verifier.verify(written(secretOf(ring, kid), kid, claims, 'none'), 'api'), 'alg')
  t.equal(verifier.verify(written(secretOf(ring, kid), kid, claims, 'HS512'), 'api'), 'alg')
  const signed = (head: object): string => {
    const input = `${encode(head)}.${encode(claims)}`
    return `${input}.${ring.active().sign(input).toString('base64url')}`
  }
  t.equal(verifier.verify(signed({ alg: 'ES256', typ: 'at+jwt', kid }), 'api'), 'alg')
  t.equal(verifier.verify(signed({ alg: 'HS256', typ: 'at+jwt', kid }), 'api'), 'signature')
  for (const use of ['refresh', 'user-hash']) {
    const other = keys.find((key) => key.use === use)!
    const made = written(Buffer.from(other.k!, 'base64url'), other.kid, claims)
    t.equal(verifier.verify(made, 'api'), 'kid', `the ${use} key signs no tokens`)
  }
  t.match(
    verifier.verify(signed({ alg: 'ES256', typ: 'at+jwt', kid: es }), 'api'),
    { subject: 'alice' },
    'the other kind is taken'
  )
  // 1. Secrets are not published, and what services verify is not signed by them.
  t.notMatch(ring.jwks().body, kid)
  t.match(ring.sign({}, { typ: 'x' }).split('.')[0], encode({ alg: 'ES256', typ: 'x', kid: es }))
})

t.test('a payload that names no user in the form of this gateway costs no key', async (t) => {
  const { ring, kid } = await open(t)
  let derived = 0
  const counting = {
    generation: ring.generation,
    has: () => true,
    find: (): UserKeys => ({
      kid,
      alg: 'HS256',
      of: (owner) => {
        derived += 1
        return (ring.find(kid) as UserKeys).of(owner)
      }
    })
  }
  const verifier = new Verifier(counting, rules, () => now * 1000)
  const strange: Record<string, unknown> = {
    'no sub': { ...claims, sub: undefined },
    'an empty sub': { ...claims, sub: '' },
    'a huge sub': { ...claims, sub: 'x'.repeat(256) },
    'NUL in sub': { ...claims, sub: 'alice\0' },
    'half a surrogate pair in sub': { ...claims, sub: '\ud800' },
    'a number as sub': { ...claims, sub: 7 },
    'an array as sub': { ...claims, sub: ['alice'] },
    'an object as sub': { ...claims, sub: { toString: 'alice' } },
    'null as sub': { ...claims, sub: null },
    'no ep': { ...claims, ep: undefined },
    'a negative ep': { ...claims, ep: -1 },
    'a fraction as ep': { ...claims, ep: 0.5 },
    'an endless ep': JSON.stringify(claims).replace('"ep":3', '"ep":1e999'),
    'an unsafe ep': { ...claims, ep: 2 ** 53 },
    'a string as ep': { ...claims, ep: '3' },
    'sub twice': `{"sub":"bob",${JSON.stringify(claims).slice(1)}`,
    'sub twice, once escaped': `{"s\\u0075b":"bob",${JSON.stringify(claims).slice(1)}`,
    'a member __proto__': `{"__proto__":{"sub":"bob"},${JSON.stringify(claims).slice(1)}`,
    'a byte order mark': `\ufeff${JSON.stringify(claims)}`,
    'deep brackets': `{"x":${'['.repeat(40)}${']'.repeat(40)},${JSON.stringify(claims).slice(1)}`,
    'too much of it': { ...claims, x: 'x'.repeat(maxUserPayload) },
    'an array': [claims],
    'no JSON': 'alice'
  }
  for (const [name, payload] of Object.entries(strange)) {
    const made = written(secretOf(ring, kid), kid, payload)
    t.equal(verifier.verify(made, 'api'), 'payload', name)
  }
  const half = written('x', kid, claims).replace(/[^.]*$/, 'A'.repeat(22))
  t.equal(verifier.verify(half, 'api'), 'signature', 'half a signature')
  t.equal(derived, 0)
  t.equal(verifier.verify(written('x', kid, { ...claims, sub: '../x' }), 'api'), 'signature')
  t.equal(derived, 1, 'a strange name is a name')
})

t.test('the gateway gives out no token that it would not take', async (t) => {
  const { ring, verifier } = await open(t)
  const said: string[] = []
  const sign = (change: object): string =>
    signForUser(ring, { ...claims, ...change }, (sentence) => said.push(sentence))
  t.throws(() => sign({ sub: 'a\nb' }), { code: 'INTERNAL', reason: 'user_key.id' })
  t.throws(() => sign({ scope: 'x'.repeat(3072) }), { code: 'INTERNAL', reason: 'user_key.size' })
  t.equal(said.length, 2)
  t.match(verifier.verify(sign({ scope: 'x'.repeat(2700) }), 'api'), { subject: 'alice' })
})

t.test('the master secret is made once, rotated and revoked like the other keys', async (t) => {
  // 1. A file from before: of many that start at once one adds it, and nothing else changes.
  const path = pathOf(t)
  const before = newKeys(now * 1000)
  writeFileSync(path, writeKeys(before), { mode: 0o600 })
  const many = await Promise.all(Array.from({ length: 8 }, () => open(t, path)))
  const { ring, kid, verifier } = many[0]!
  t.same(
    many.map((one) => one.kid),
    many.map(() => kid)
  )
  const inFile = () => (JSON.parse(readFileSync(path, 'utf8')) as { keys: { kid: string }[] }).keys
  t.same(inFile().slice(0, 3), before)
  t.equal(inFile().length, 4)
  // 2. Rotated: the next one signs from its time on, the old one verifies until its tokens are over.
  const lives = { accessLife: 900_000, refreshLife: 9_000_000 }
  await rotateKeys(path, { now: now * 1000, signFrom: now * 1000, ...lives })
  const old = signForUser(ring, claims, () => {})
  await ring.refresh()
  const fresh = signForUser(ring, claims, () => {})
  t.not(fresh.split('.')[0], old.split('.')[0])
  for (const token of [old, fresh]) t.match(verifier.verify(token, 'api'), { subject: 'alice' })
  const retired = ring.list().find((key) => key.kid === kid)
  t.match(retired, { use: 'per-user', alg: 'HS256', state: 'retired' })
  t.equal(retired?.verifyUntil, new Date(now * 1000 + lives.accessLife).toISOString())
  // 3. Revoked: all it signed is void, and another one signs.
  const active = ring.list().find(({ use, state }) => use === 'per-user' && state === 'active')!
  await markRevoked(path, active.kid, { now: now * 1000, replaces: true, ...lives })
  await ring.refresh()
  t.equal(verifier.verify(fresh, 'api'), 'kid')
  const third = signForUser(ring, claims, () => {})
  t.match(verifier.verify(third, 'api'), { subject: 'alice' })
  t.equal(new Set([old, fresh, third].map((token) => token.split('.')[0])).size, 3)
})

t.test(
  'a file without a master secret: no matter for a shared key, else it has to be writable',
  async (t) => {
    const path = pathOf(t)
    const lives = { now: now * 1000, signFrom: now * 1000, accessLife: 900_000, refreshLife: 9_000_000 }
    const { ring } = await open(t, path, false)
    const rotated = await rotateKeys(path, { ...lives, perUser: false })
    t.notOk(rotated.some(({ use }) => use === 'per-user'))
    t.throws(() => signForUser(ring, claims, () => {}), {
      code: 'KEYS_UNAVAILABLE',
      reason: 'keys.per-user'
    })
    t.notOk(ring.list().some(({ use }) => use === 'per-user'))
    // No lock can stand beside a file whose name is as long as a name may be.
    const fixed = join(path, '..', 'k'.repeat(255))
    writeFileSync(fixed, readFileSync(path), { mode: 0o600 })
    const opening = KeyRing.open(fixed, { now: () => now * 1000, perUser: true })
    await t.rejects(opening, /has no key in force for "per-user"; run "toll key rotate --now"/)
    t.ok((await rotateKeys(path, { ...lives, perUser: true })).some(({ use }) => use === 'per-user'))
  }
)

t.test('20,000 forged subjects leave nothing behind', async (t) => {
  const path = pathOf(t)
  await open(t, path)
  const url = (file: string): string => new URL(`../../${file}`, import.meta.url).href
  const program = `
    const { KeyRing } = await import('${url('services/identity/keys/key-ring.js')}')
    const { Verifier } = await import('${url('services/identity/tokens/verifier.js')}')
    const ring = await KeyRing.open(${JSON.stringify(path)}, { now: () => ${now * 1000}, perUser: true })
    const { kid } = ring.list().find(({ use }) => use === 'per-user')
    const verifier = new Verifier(ring, ${JSON.stringify(rules)}, () => ${now * 1000})
    const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url')
    const head = encode({ alg: 'HS256', typ: 'at+jwt', kid })
    const claims = ${JSON.stringify(claims)}
    const round = (from, count) => {
      for (let n = from; n < from + count; n++) {
        const sub = 'forged-' + n + '-'.repeat(200)
        const answer = verifier.verify(head + '.' + encode({ ...claims, sub }) + '.' + 'A'.repeat(43), 'api')
        if (answer !== 'signature') throw new Error('taken: ' + answer)
      }
    }
    const heap = async () => {
      for (let n = 0; n < 3; n++) { gc(); await new Promise((done) => setTimeout(done, 10)) }
      const { heapUsed, external } = process.memoryUsage()
      return heapUsed + external
    }
    round(0, 2000)
    const before = await heap()
    round(2000, 20000)
    process.stdout.write(String(((await heap()) - before) / 20000))
    process.exit()`
  const [command, ...args] = plainNode
  const { stdout } = await promisify(execFile)(command, [
    ...args,
    '--expose-gc',
    '--input-type=module',
    '-e',
    program
  ])
  t.ok(stdout !== '' && Number(stdout) < 64, `${stdout} bytes a forged token`)
})
