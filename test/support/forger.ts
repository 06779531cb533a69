import { createPrivateKey, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ask } from './client.ts'
import { type StartedGateway, startGateway } from './gateway.ts'
import { exchange, httpUpstream } from './upstream.ts'
import { usersFile } from './users.ts'

/** A request that must not pass, and what the log has to say of it. */
export interface Attack {
  readonly token?: string
  /** Header lines instead of `Authorization: Bearer <token>`. */
  readonly lines?: readonly string[]
  readonly method?: string
  readonly path?: string
  readonly status?: number
  /** Undefined where the request is none and never gets a line. */
  readonly reason: string | undefined
}

/** A gateway, the upstream behind it that counts, and whatever it takes to sign odd tokens as the gateway would. */
export interface Target extends StartedGateway {
  readonly hits: () => number
  readonly jwk: JsonWebKey & { readonly kid: string }
  readonly key: KeyObject
  /** A token of a real sign-in. */
  readonly good: string
  login(): Promise<{ readonly access: string; readonly refresh: string; readonly session: string }>
  claims(change?: object): Record<string, unknown>
  /** Signs whatever stands there. */
  signed(header: string | Buffer, payload: string | Buffer, by?: KeyObject): string
  /** A token that would pass but for these members. */
  token(claims?: object, header?: object, by?: KeyObject): string
  /** Sends it as raw bytes. */
  send(attack: Omit<Attack, 'reason'>): Promise<Sent>
}

export interface Sent {
  readonly status: number
  readonly answer: string
  /** Of the request, in the log. */
  readonly id: string
}

export const base64url = (value: string | Buffer): string => Buffer.from(value).toString('base64url')
export const seconds = (): number => Math.floor(Date.now() / 1000)

/** Starts it with one user, "kesa", and a route for each of `routes`. */
export async function startTarget(
  t: Test,
  routes: Readonly<Record<string, unknown>>,
  { auth = {}, files = {}, more = {} }: { auth?: object; files?: Record<string, string>; more?: object } = {}
): Promise<Target> {
  const upstream = await httpUpstream(t, ({ rawHeaders }, response) =>
    response.end(JSON.stringify(rawHeaders))
  )
  const gateway = await startGateway(
    t,
    {
      services: { up: { nodes: [upstream.url] } },
      routes: Object.entries(routes).map(([id, access]) => ({
        ...{ id, path: `/${id}`, service: 'up', auth: access }
      })),
      auth: { users: { driver: 'file', path: 'users.json' }, ...auth },
      ...more
    },
    { files: { 'users.json': await usersFile({ kesa: { password: '123', scopes: ['read'] } }), ...files } }
  )
  const { origin, directory } = gateway
  const login = async () => {
    const { body } = await ask('POST', `${origin}/auth/login`, {
      json: { username: 'kesa', password: '123' }
    })
    return {
      access: String(body.access_token),
      refresh: String(body.refresh_token),
      session: String(body.session)
    }
  }
  const { access: good, session: sid } = await login()
  const { keys } = JSON.parse(readFileSync(join(directory, '.toll/keys.json'), 'utf8')) as {
    keys: (JsonWebKey & { kid: string; use: string })[]
  }
  const jwk = keys.find(({ use }) => use === 'sig')!
  const key = createPrivateKey({ key: jwk, format: 'jwk' })
  const claims = (change = {}) => ({
    ...{ iss: 'tollkeeper', sub: 'kesa', aud: 'api', client_id: 'toll', jti: `odd-${Math.random()}` },
    ...{ iat: seconds(), exp: seconds() + 600, sid, ep: 0, scope: 'read' },
    ...change
  })
  const signed: Target['signed'] = (header, payload, by = key) => {
    const input = `${base64url(header)}.${base64url(payload)}`
    return `${input}.${base64url(sign('sha256', Buffer.from(input), { key: by, dsaEncoding: 'ieee-p1363' }))}`
  }
  const token: Target['token'] = (change, header = {}, by = key) =>
    signed(
      JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: jwk.kid, ...header }),
      JSON.stringify(claims(change)),
      by
    )
  let count = 0
  const send: Target['send'] = async ({
    token,
    lines,
    method = 'GET',
    path = `/${Object.keys(routes)[0]}`
  }) => {
    count += 1
    const id = `attack-${count}`
    const head = lines ?? [`Authorization: Bearer ${token}`]
    const answer = await exchange(
      origin,
      `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: ${id}\r\n${head.map((line) => `${line}\r\n`).join('')}\r\n`
    )
    return { status: Number(answer.slice(9, 12)), answer, id }
  }
  const hits = () => upstream.requests.length
  return { ...gateway, hits, jwk, key, good, login, claims, signed, token, send }
}

/** Carries one attack out, and lets a good token pass beside it. */
export async function withstands(t: Test, target: Target, attack: Attack): Promise<void> {
  const { status = 401, reason } = attack
  const before = target.hits()
  const sent = await target.send(attack)
  t.equal(sent.status, status)
  t.equal(target.hits(), before, 'the service hears nothing of it')
  const log = target.log()
  t.equal(log.find(({ requestId, msg }) => requestId === sent.id && msg === 'request')?.reason, reason)
  if (status === 401) {
    const [, challenge] = /^www-authenticate: (.*)\r$/im.exec(sent.answer) ?? []
    const error = reason === 'missing' ? '' : ', error="invalid_token"'
    t.equal(challenge, `Bearer realm="tollkeeper"${error}`)
    t.match(sent.answer, /^content-type: application\/problem\+json/im)
  }
  const shown = [attack.token ?? '', ...(attack.lines ?? [])].join('.')
  const told = sent.answer + JSON.stringify(log)
  for (const part of shown.split(/[^\w-]+/).filter((text) => text.length > 30)) {
    t.notOk(told.includes(part), 'no part of the token is told')
  }
  t.equal((await target.send({ token: target.good })).status, 200, 'positive control')
  t.equal(target.hits(), before + 1)
}
