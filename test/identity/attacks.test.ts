import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ask } from '../support/client.ts'
import { type Attack, seconds, startTarget, withstands } from '../support/forger.ts'
import { aroundLimit, oddTokens, twinOf } from '../support/odd-tokens.ts'

/** Tokens by people who have read RFC 8725 and the known holes of JWT libraries, over HTTP against a whole gateway. */
const routes = { any: 'required', narrow: { audience: 'reports' }, scoped: { scopes: ['admin'] } }
const target = await startTarget(t, routes)
// Where others may sign as well, a token is first asked whose it is.
const shared = await startTarget(t, routes, {
  auth: { issuers: [{ name: 'corp', issuer: 'urn:corp', keys: 'corp.json' }] },
  files: { 'corp.json': '{"keys":[]}' }
})
const { good, token, claims } = target

for (const [which, gateway] of Object.entries({ alone: target, 'beside another issuer': shared })) {
  const { refresh } = await gateway.login()
  for (const [reason, tokens] of Object.entries(oddTokens(gateway, refresh))) {
    t.test(`${which}, tokens that are refused as ${reason}`, async (t) => {
      for (const [name, odd] of Object.entries(tokens)) {
        await t.test(name, (t) => withstands(t, gateway, { token: odd, reason }))
      }
    })
  }
}

const elsewhere: Record<string, Attack> = {
  'a token for another audience': { token: good, path: '/narrow', reason: 'claims.aud' },
  'the same again, now that it is known': { token: good, path: '/narrow', reason: 'claims.aud' },
  'a known token without the scope': { token: good, path: '/scoped', status: 403, reason: 'scope' },
  'a scope with more around it': {
    token: token({ scope: 'administrator admin\u00a0read' }),
    ...{ path: '/scoped', status: 403, reason: 'scope' }
  }
}
for (const [name, attack] of Object.entries(elsewhere)) {
  t.test(`a good token elsewhere: ${name}`, (t) => withstands(t, target, attack))
}

t.test('what may look odd and is right passes', async (t) => {
  const fine: Record<string, string> = {
    'the other signature of the same key (n - s)': twinOf(good),
    'typ as a media type': token({}, { typ: 'application/AT+JWT' }),
    'typ in capitals': token({}, { typ: 'AT+JWT' }),
    'a list of audiences': token({ aud: ['x', 'api'] }),
    'nbf -0': written('nbf', '-0'),
    'exp written as a power': written('exp', `${(seconds() + 600) / 1e9}e9`),
    'a constructor': written('constructor', '{"prototype":{"isAdmin":true}}'),
    'a subject of 255 characters': token({ sub: 'x'.repeat(255) }),
    'a subject beyond ASCII': token({ sub: '\u{1f511} \r\nX-Admin: 1' }),
    cty: token({}, { cty: 'JWT' }),
    'nearly 8 KiB': aroundLimit(token).within
  }
  for (const [name, odd] of Object.entries(fine))
    t.equal((await target.send({ token: odd })).status, 200, name)
  const { answer } = await target.send({
    token: token({ sub: '\r\nX-Admin: 1', scope: 'a\r\nX-Admin:1' })
  })
  t.notMatch(answer, /"X-Admin/, 'claims make no headers')
  // Both signatures are of the same claims, so what revokes one revokes both.
  const { access } = await target.login()
  const sibling = twinOf(access)
  t.equal((await target.send({ token: sibling })).status, 200)
  await target.send({ token: access, method: 'POST', path: '/auth/logout' })
  for (const dead of [sibling, access]) {
    await withstands(t, target, { token: dead, reason: 'revoked.sid' })
  }
})

t.test('a known token expires, and is no other for having been taken a moment ago', async (t) => {
  const brief = token({ exp: seconds() + 4 })
  t.equal((await target.send({ token: brief })).status, 200)
  await withstands(t, target, { token: brief, path: '/narrow', reason: 'claims.aud' })
  await withstands(t, target, { token: brief.toLowerCase(), reason: 'malformed' })
  await withstands(t, target, {
    token: `${brief.slice(0, brief.lastIndexOf('.'))}.AAAA`,
    reason: 'signature'
  })
  const over = Number(JSON.parse(Buffer.from(brief.split('.')[1]!, 'base64url').toString()).exp) * 1000
  while (Date.now() < over) await sleep(50)
  await withstands(t, target, { token: brief, reason: 'claims.exp' })
})

t.test('of a thousand odd tokens each is logged and counted, under few names', async (t) => {
  const counted = async () => {
    const { text } = await ask('GET', `${shared.admin}/metrics`)
    const lines = text.matchAll(/^tollkeeper_refusals_total\{code="([^"]*)",reason="([^"]*)"\} (\d+)$/gm)
    return [...lines].map(([, code, reason, count]) => ({ code, reason, count: Number(count) }))
  }
  const sum = (lines: readonly { readonly count: number }[]) =>
    lines.reduce((all, { count }) => all + count, 0)
  const noted = () => shared.log().filter(({ msg, reason }) => msg === 'request' && reason !== undefined)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.'
  /** Another character somewhere in it: no token of ours, whatever it reads as. */
  const spoilt = (whole: string) => {
    const at = Math.floor(Math.random() * whole.length)
    const other = alphabet[(alphabet.indexOf(whole[at]!) + 1 + Math.floor(Math.random() * 64)) % 65]
    return whole.slice(0, at) + other + whole.slice(at + 1)
  }
  const makers = [
    () => spoilt(shared.good),
    () => shared.token({}, { kid: `k${Math.random()}` }),
    () => shared.token({}, { alg: `A${Math.random()}` }),
    () => shared.token({ iss: `i${Math.random()}` }),
    () => shared.token({}, { kid: `k${Math.random()}`, typ: `t${Math.random()}` })
  ]
  const [before, lines, hits] = [sum(await counted()), noted().length, shared.hits()]
  for (let batch = 0; batch < 20; batch += 1) {
    const answers = Array.from({ length: 50 }, (_, index) =>
      ask('GET', `${shared.origin}/any`, { token: makers[index % makers.length]!() })
    )
    for (const { status } of await Promise.all(answers)) if (status !== 401) t.equal(status, 401)
  }
  const after = await counted()
  t.equal(sum(after) - before, 1000)
  t.equal(noted().length - lines, 1000)
  t.equal(shared.hits(), hits)
  t.ok(after.length < 40, `${after.length} series`)
  for (const { reason } of after) t.match(reason, /^[a-z]+([._][a-z]+)?$/)
  t.equal((await shared.send({ token: shared.good })).status, 200, 'positive control')
})

/** A good token that has this member as it is written here. */
function written(name: string, text: string): string {
  const { [name]: _, ...others } = claims()
  const header = { alg: 'ES256', typ: 'at+jwt', kid: target.jwk.kid }
  return target.signed(JSON.stringify(header), `{"${name}":${text},${JSON.stringify(others).slice(1)}`)
}
