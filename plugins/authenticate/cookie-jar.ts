import type { IncomingMessage } from 'node:http'
import type { FastifyReply } from 'fastify'
import { AmbiguousRequest, Internal } from '../../errors.ts'
import { cookieNames } from '../../services/identity/cookies/names.ts'
import type { Grant, Identity } from '../../services/identity/identity.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import { signAccess } from './jwt.ts'

type Sent = Pick<IncomingMessage, 'headers'>

/** Browsers drop a longer one without a word (RFC 6265 6.1 asks for 4096 bytes, name and attributes included). */
const maxCookie = 4096

/** Reads what a request shows: its access cookie, or the session cookie alone once the browser has let go of the other. */
export const cookieReader =
  ({ cookie }: Pick<AuthOptions, 'cookie'>) =>
  (raw: Sent): string | undefined =>
    cookieOf(raw, cookieNames.access) ??
    (cookie?.refresh === true ? cookieOf(raw, cookieNames.session) : undefined)

/** Sets the gateway's cookies, takes them back, and reads those that renew. */
export class CookieJar {
  /** Whether the gateway renews the access cookie by itself. */
  readonly renews: boolean
  readonly #identity: Identity
  readonly #refreshPath: string

  constructor(identity: Identity, { cookie, paths }: Pick<AuthOptions, 'cookie' | 'paths'>) {
    this.renews = cookie?.refresh === true
    this.#identity = identity
    this.#refreshPath = paths.refresh
  }

  session(raw: Sent): string | undefined {
    return this.renews ? cookieOf(raw, cookieNames.session) : undefined
  }

  refreshToken(raw: Sent): string | undefined {
    return this.renews ? undefined : cookieOf(raw, cookieNames.refresh)
  }

  /** Signs the access token of a grant and puts it into the answer, with what renews it; the answer may not be kept by a cache. */
  async set(reply: FastifyReply, grant: Grant): Promise<string> {
    const token = await signAccess(reply, this.#identity, grant.claims)
    const { access, session, refresh } = cookieNames
    const cookies = [
      this.renews
        ? bake(session, this.#identity.cookies.write(grant), forAll(grant.endsIn))
        : bake(refresh, grant.refreshToken, forDoor(this.#refreshPath, grant.endsIn)),
      bake(access, token, forAll(grant.expiresIn))
    ]
    if (cookies.some(({ length }) => length > maxCookie)) {
      reply.log.warn(
        `The access token of "${grant.claims.sub}" does not fit into a cookie; give the user fewer scopes.`
      )
      throw Internal([], { reason: 'cookie_size' })
    }
    put(reply, cookies)
    reply.header('cache-control', 'no-store')
    return token
  }

  /** Has the browser forget the session. */
  clear(reply: FastifyReply): void {
    const { access, session, refresh } = cookieNames
    put(reply, [
      bake(access, '', forAll(0)),
      this.renews ? bake(session, '', forAll(0)) : bake(refresh, '', forDoor(this.#refreshPath, 0))
    ])
  }
}

/** What was set before in this answer, such as by a renewal in front of a sign-out, does not count any more. */
function put(reply: FastifyReply, cookies: readonly string[]): void {
  const before = [reply.getHeader('set-cookie') ?? []].flat().map(String)
  reply.removeHeader('set-cookie')
  const names = new Set(cookies.map(nameOf))
  reply.header('set-cookie', [...before.filter((cookie) => !names.has(nameOf(cookie))), ...cookies])
}

const nameOf = (cookie: string): string => cookie.slice(0, cookie.indexOf('='))

const bake = (name: string, value: string, attributes: string): string => `${name}=${value}; ${attributes}`

const forAll = (seconds: number): string => `Max-Age=${seconds}; Path=/; HttpOnly; Secure; SameSite=Lax`

const forDoor = (path: string, seconds: number): string =>
  `Max-Age=${seconds}; Path=${path}; HttpOnly; Secure; SameSite=Strict`

/** The cookie with exactly this name. There can be only one; of two it would be open which others read. */
function cookieOf({ headers }: Sent, name: string): string | undefined {
  const { cookie } = headers
  if (cookie === undefined || !cookie.includes(name)) return undefined
  let value: string | undefined
  for (const pair of cookie.split(';')) {
    const text = pair.trim()
    if (!text.startsWith(name) || text[name.length] !== '=') continue
    if (value !== undefined) {
      throw AmbiguousRequest(['it has a session cookie twice'], { reason: 'cookie_twice' })
    }
    value = text.slice(name.length + 1)
  }
  return value
}
