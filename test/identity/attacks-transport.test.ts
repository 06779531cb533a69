import t from 'tap'
import { type Attack, startTarget, withstands } from '../support/forger.ts'
import { RawClient } from '../support/upstream.ts'

/** A token that would do, brought in a way it must not come: where it passed, somebody else would read another one. */
const target = await startTarget(t, { any: 'required', optional: 'optional', public: 'none' })
const { good, token } = target
const other = token()
const bearer = `Authorization: Bearer ${good}`
const upgrade = [
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='
]
const twice = { status: 400, reason: 'authorization_twice' }
const none = { reason: 'missing' }
const bad = { reason: 'malformed' }

const attacks: Record<string, Attack> = {
  nothing: { lines: [], ...none },
  'two headers': { lines: [bearer, `Authorization: Bearer ${other}`], ...twice },
  'the same header twice': { lines: [bearer, bearer], ...twice },
  'two headers in other letters': { lines: [bearer, `AUTHORIZATION: Bearer ${other}`], ...twice },
  'Basic behind it': { lines: [bearer, 'Authorization: Basic YTpi'], ...twice },
  'two headers, the first of them empty': { lines: ['Authorization:', bearer], ...twice },
  'two headers on an optional route': { lines: [bearer, bearer], path: '/optional', ...twice },
  'two in one header': { lines: [`Authorization: Bearer ${good}, Bearer ${other}`], ...bad },
  'two in one header, without a scheme': { lines: [`Authorization: Bearer ${good},${other}`], ...bad },
  'two in one header, with a space': { lines: [`Authorization: Bearer ${good} ${other}`], ...bad },
  'Basic and Bearer in one header': { lines: [`Authorization: Basic YTpi, Bearer ${good}`], ...none },
  'two spaces': { lines: [`Authorization: Bearer  ${good}`], ...bad },
  'a tab behind the scheme': { lines: [`Authorization: Bearer\t${good}`], ...none },
  'a tab and a space': { lines: [`Authorization: Bearer \t${good}`], ...bad },
  'no space': { lines: [`Authorization: Bearer${good}`], ...none },
  'a colon': { lines: [`Authorization: Bearer: ${good}`], ...none },
  'an equals sign': { lines: [`Authorization: Bearer token=${good}`], ...bad },
  'the scheme alone': { lines: ['Authorization: Bearer'], ...bad },
  'the scheme with spaces': { lines: ['Authorization: Bearer   '], ...bad },
  'no scheme': { lines: [`Authorization: ${good}`], ...none },
  Basic: { lines: [`Authorization: Basic ${Buffer.from(`kesa:${good}`).toString('base64')}`], ...none },
  'Basic with a password': { lines: ['Authorization: Basic a2VzYToxMjM='], ...none },
  Token: { lines: [`Authorization: Token ${good}`], ...none },
  DPoP: { lines: [`Authorization: DPoP ${good}`], ...none },
  'a no-break space': { lines: [`Authorization: Bearer\u00a0${good}`], ...none },
  'quotation marks': { lines: [`Authorization: Bearer "${good}"`], ...bad },
  'Proxy-Authorization': { lines: [`Proxy-Authorization: Bearer ${good}`], ...none },
  'X-Authorization': { lines: [`X-Authorization: Bearer ${good}`], ...none },
  'an underscore': { lines: [`Authorization_: Bearer ${good}`], ...none },
  'X-Access-Token': { lines: [`X-Access-Token: ${good}`], ...none },
  'a cookie': { lines: [`Cookie: __Host-toll_at=${good}; token=${good}; access_token=${good}`], ...none },
  'the query': { lines: [], path: `/any?access_token=${good}&token=${good}&jwt=${good}`, ...none },
  'a form': {
    lines: [
      'Content-Type: application/x-www-form-urlencoded',
      `Content-Length: ${good.length + 13}`,
      '',
      `access_token=${good}`
    ],
    ...{ method: 'POST', ...none }
  },
  'a subprotocol': {
    lines: [...upgrade, 'Connection: upgrade', `Sec-WebSocket-Protocol: bearer, ${good}`],
    ...none
  },
  'a WebSocket without a token': { lines: [...upgrade, 'Connection: upgrade'], ...none },
  'a WebSocket with a bad one': {
    lines: [...upgrade, 'Connection: upgrade', `Authorization: Bearer ${good}AAAA`],
    ...{ reason: 'signature' }
  },
  'a WebSocket with two': { lines: [...upgrade, 'Connection: upgrade', bearer, bearer], ...twice },
  'a bad token on an optional route': { lines: ['Authorization: Bearer x'], path: '/optional', ...bad },
  'an expired token on an optional route': {
    token: token({ iat: 1, exp: 600 }),
    ...{ path: '/optional', reason: 'claims.exp' }
  },
  'a bad token, named hop-by-hop': {
    lines: ['Connection: authorization', 'Authorization: Bearer x'],
    ...bad
  },
  ...Object.fromEntries(
    ['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'PROPFIND', 'QUERY'].flatMap((method) => [
      [`${method} without a token`, { method, lines: [], ...none }],
      [`${method} with a bad one`, { method, lines: ['Authorization: Bearer x'], ...bad }]
    ])
  )
}

for (const [name, attack] of Object.entries(attacks)) {
  t.test(`is not let in by ${name}`, (t) => withstands(t, target, attack))
}

/** What no HTTP server should read at all: refused before anybody looks for a token. */
const broken: Record<string, [string[], number]> = {
  'a folded header': [['Authorization: Bearer', ` ${good}`], 400],
  'a header folded inside the token': [
    [`Authorization: Bearer ${good.slice(0, 50)}`, ` ${good.slice(50)}`],
    400
  ],
  'a space before the colon': [[`Authorization : Bearer ${good}`], 400],
  'NUL in the token': [[`Authorization: Bearer ${good.slice(0, 50)}\u0000${good.slice(50)}`], 400],
  'a lone CR in the token': [[`Authorization: Bearer ${good.slice(0, 50)}\r${good.slice(50)}`], 400],
  'a token of 40 KiB': [[`Authorization: Bearer ${'x'.repeat(40_960)}`], 431],
  'headers of 40 KiB before it': [[`X-A: ${'x'.repeat(40_960)}`, bearer], 431]
}
for (const [name, [lines, status]] of Object.entries(broken)) {
  t.test(`is not read at all: ${name}`, (t) => withstands(t, target, { lines, status, reason: undefined }))
}

t.test('is not let in by a token in the trailers', async (t) => {
  const before = target.hits()
  const client = new RawClient(target.origin).write(
    'POST /any HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n' +
      `1\r\nx\r\n0\r\n${bearer}\r\n\r\n`
  )
  t.match(await client.ended(), /^HTTP\/1\.1 401 /)
  t.equal(target.hits(), before)
  client.close()
})

t.test('passes as it should', async (t) => {
  const fine: Record<string, string[]> = {
    bearer: [`authorization: bearer ${good}`],
    BEARER: [`AUTHORIZATION: BEARER ${good}`],
    'space around the value': [`Authorization: \t Bearer ${good} \t`],
    'no space behind the colon': [`Authorization:Bearer ${good}`],
    'beside what is not looked at': [bearer, `Proxy-Authorization: Bearer x`, 'Cookie: __Host-toll_at=x']
  }
  for (const [name, lines] of Object.entries(fine)) {
    const { status, answer } = await target.send({ lines })
    t.equal(status, 200, name)
    t.notOk(answer.includes(good), 'the service does not get it')
  }
  for (const method of ['HEAD', 'OPTIONS', 'PUT', 'PROPFIND']) {
    t.equal((await target.send({ method, lines: [bearer] })).status, 200, method)
  }
  const anonymous = await target.send({ path: '/optional', lines: [`Authorization: Bearer\t${good}`] })
  t.equal(anonymous.status, 200, 'another scheme is none for an optional route')
  t.notMatch(anonymous.answer, /kesa/)
  t.notOk(anonymous.answer.includes(good))
  t.match((await target.send({ path: '/optional', lines: [bearer] })).answer, /"x-user-id","kesa"/i)
  t.equal((await target.send({ path: '/public', lines: ['Authorization: Bearer x'] })).status, 200)
})
