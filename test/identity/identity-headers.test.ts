import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { KeyRing } from '../../services/identity/keys/key-ring.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { exchange, RawClient, rawUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ kesa: { password: '123', scopes: ['a', 'b'] } })

const directory = mkdtempSync(join(tmpdir(), 'toll-names-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))
const apiKeys = join(directory, 'api-keys.json')
writeFileSync(apiKeys, '{"keys":[]}', { mode: 0o600 })

/** What a client has no business saying, in the spelling of those who listen to it. */
const names = [
  'X-User-Id',
  'X-Session-Id',
  'X-Scopes',
  'X-Gateway-Assertion',
  'X-Who',
  'X-Api-Key',
  'X-Forwarded-User',
  'X-Forwarded-Email',
  'X-Authenticated-User',
  'X-Authenticated-Userid',
  'X-Authenticated-Scope',
  'X-Remote-User',
  'Remote-User',
  'Remote-Groups',
  'X-Vouch-User',
  'Oidc-Claim-Sub',
  'Tailscale-User-Login',
  'X-Endpoint-Api-Userinfo',
  'X-Auth-Request-User',
  'X-Auth-Request-Access-Token',
  'X-Consumer-Id',
  'X-Consumer-Username',
  'X-Anonymous-Consumer',
  'X-Credential-Identifier',
  'X-Jwt-Claim-Sub',
  'X-Pomerium-Jwt-Assertion',
  'X-WebAuth-User',
  'X-Amzn-Oidc-Identity',
  'X-Goog-Authenticated-User-Email',
  'Cf-Access-Jwt-Assertion',
  'X-Ms-Client-Principal',
  'Ssl-Client-S-Dn',
  'X-Ssl-Client-Verify',
  'X-Forwarded-Client-Cert'
]

const spellings: readonly ((name: string) => string)[] = [
  (name) => `${name}: root`,
  (name) => `${name.toLowerCase()}: root`,
  (name) => `${name.toUpperCase().replaceAll('-', '_')}: root`,
  (name) => `${name.replaceAll('-', '.')}: root`,
  (name) => `${name.replace('-', '_').replaceAll('-', '.')}:root`,
  (name) => `${name}:\t root \t`
]

const routes = [
  { id: 'none', path: '/none/*', service: 'up', auth: 'none' },
  { id: 'optional', path: '/optional/*', service: 'up', auth: 'optional' },
  { id: 'required', path: '/required/*', service: 'up' }
]

const accepted =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'

async function start(t: Test, auth: object = {}) {
  const up = await rawUpstream(t, ({ socket, received }) => {
    if (received.startsWith('POST') && !received.includes('\r\n0\r\n')) return
    if (!received.includes('\r\n\r\n')) return
    socket.write(
      /upgrade: websocket/i.test(received)
        ? accepted
        : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
    )
    if (!/upgrade/i.test(received)) socket.end()
  })
  const gateway = await startGateway(
    t,
    {
      store: { driver: 'embedded', path: 'store' },
      auth: { users: { path: 'users.json' }, ...auth },
      services: { up: { nodes: [up.url] } },
      routes
    },
    { files: { 'users.json': users } }
  )
  const { body } = await ask('POST', `${gateway.origin}/auth/login`, {
    json: { username: 'kesa', password: '123' }
  })
  const seen = () => up.connections.at(-1)!.received
  return { ...gateway, token: String(body.access_token), session: String(body.session), seen, up }
}

t.test('no client says who it is: on any route, in any spelling, as a request or an upgrade', async (t) => {
  const { origin, token, session, seen } = await start(t, {
    headers: { user: 'x-who' },
    apiKeys: { path: apiKeys }
  })
  const authorized = `Authorization: Bearer ${token}\r\n`
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  const callers: [string, string][] = [
    ['/none/x', ''],
    ['/optional/x', ''],
    ['/optional/x', authorized],
    ['/required/x', authorized]
  ]
  for (const [path, who] of callers) {
    for (const spell of spellings) {
      const spoofed = names.map((name) => `${spell(name)}\r\n`).join('')
      const head = `GET ${path} HTTP/1.1\r\nHost: a\r\n${who}${spoofed}`
      t.match(await exchange(origin, `${head}Connection: close\r\n\r\n`), /^HTTP\/1\.1 200 /)
      t.notMatch(seen(), /root/, `${path} ${spell('X-User-Id')}`)
      t.equal(seen().includes(`\r\nx-who: kesa\r\nx-session-id: ${session}\r\nx-scopes: a b\r\n`), who !== '')
      const client = new RawClient(origin).write(`${head}${upgrade}\r\n`)
      t.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 101 /)
      t.notMatch(seen(), /root/, `upgrade ${path} ${spell('X-User-Id')}`)
      t.equal(seen().includes('\r\nx-who: kesa\r\n'), who !== '')
      client.close()
    }
  }
})

t.test('what is nearly one of these names passes', async (t) => {
  const { origin, seen } = await start(t)
  const harmless = ['X-User-Identity-Hint', 'X-Jwtx', 'X-Consumers', 'Xuser-Id', 'X--User-Id', 'X-Userid']
  const lines = harmless.map((name) => `${name}: 1\r\n`).join('')
  await exchange(origin, `GET /none/x HTTP/1.1\r\nHost: a\r\n${lines}Connection: close\r\n\r\n`)
  for (const name of harmless) t.match(seen(), `\r\n${name}: 1\r\n`)
})

t.test('neither Connection nor a trailer takes an identity away or brings one', async (t) => {
  const { origin, token, seen } = await start(t)
  await exchange(
    origin,
    `GET /required/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n` +
      'Connection: close, X-User-Id, x_session_id, x-scopes\r\nX-User-Id: root\r\n\r\n'
  )
  t.match(seen(), /\r\nx-user-id: kesa\r\nx-session-id: [^\r]+\r\nx-scopes: a b\r\n/)
  t.notMatch(seen(), /root/)
  await exchange(
    origin,
    'POST /none/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: X-User-Id\r\nTransfer-Encoding: chunked\r\n\r\n' +
      '1\r\nx\r\n0\r\nX-User-Id: root\r\nX_User_Id: root\r\n\r\n'
  )
  t.match(seen(), /^POST /)
  t.notMatch(seen(), /root/)
})

t.test('a line that two readers could take for two things is refused', async (t) => {
  const { origin } = await start(t)
  const send = (line: string) =>
    exchange(origin, `GET /none/x HTTP/1.1\r\nHost: a\r\n${line}\r\nConnection: close\r\n\r\n`)
  for (const line of [
    'X-User-Id : root',
    'X-User-Id\t: root',
    'X-A: 1\rX-User-Id: root',
    'X-A: 1\nX-User-Id: root\0',
    'X-A: \0root',
    'X-User\0-Id: root',
    ': root',
    'X User-Id: root',
    'X-A: 1\r\n X-User-Id: root'
  ]) {
    t.match(await send(line), /^HTTP\/1\.1 400 /, JSON.stringify(line))
  }
})

t.test('values are printable ASCII, and spaces at their ends are kept', async (t) => {
  const { origin, directory, seen, token: own } = await start(t)
  const keys = await KeyRing.open(join(directory, '.toll/keys.json'))
  t.teardown(() => keys.close())
  const claims = JSON.parse(Buffer.from(own.split('.')[1]!, 'base64url').toString()) as object
  for (const [sub, expected] of [
    ['käsa', 'k%C3%A4sa'],
    ['a%b', 'a%25b'],
    [' root ', '%20root%20'],
    ['root\r\nX-Admin: 1', 'root%0D%0AX-Admin: 1'],
    ['root\0', 'root%00'],
    ['a b,c', 'a b,c']
  ] as const) {
    const token = keys.sign({ ...claims, sub }, { typ: 'at+jwt' })
    await exchange(
      origin,
      `GET /required/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`
    )
    t.match(seen(), `\r\nx-user-id: ${expected}\r\n`)
  }
})
