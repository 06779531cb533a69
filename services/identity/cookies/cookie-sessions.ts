import { timingSafeEqual } from 'node:crypto'
import { InvalidGrant } from '../../../errors.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import { type RefreshToken, readRefreshToken } from '../sessions/refresh-token.ts'
import type { Grant } from '../sign-in.ts'
import { isCanonical } from '../tokens/base64url.ts'

/** Exchanges a generation of a session for the next; rejects with InvalidGrant when the session is over. */
export type Exchange = (shown: RefreshToken) => Promise<Grant>

const csrfForm = /^([A-Za-z0-9_~-]{1,64})\.([A-Za-z0-9_-]{43})$/
const sessionForm =
  /^(tls1\.([A-Za-z0-9_~-]{1,64})\.([A-Za-z0-9_-]{34})\.(0|[1-9][0-9]{0,9}))\.([A-Za-z0-9_-]{43})$/

/** Told by its beginning, which no access token has. */
export const isSessionCookie = (value: string): boolean => value.startsWith('tls1.')

/**
 * What sessions in browsers need besides tokens: proof that a page of ours asks, and a cookie with which the gateway renews the access
 * token by itself. That cookie is no refresh token: its MAC has another key, and no door takes it from a body.
 */
export class CookieSessions {
  readonly #keys: KeyRing
  readonly #exchange: Exchange
  readonly #renewing = new Map<string, Promise<Grant>>()

  constructor(keys: KeyRing, exchange: Exchange) {
    this.#keys = keys
    this.#exchange = exchange
  }

  /** Proves that who sends it in a header could read an answer to this session; the same for the session's whole life. */
  csrfToken(session: string): string {
    const kid = this.#keys.activeRefreshKid()
    return `${kid}.${this.#keys.derivedMac('csrf', kid, session)!.toString('base64url')}`
  }

  isCsrfToken(token: string, session: string): boolean {
    const [, kid, mac] = csrfForm.exec(token) ?? []
    return kid !== undefined && mac !== undefined && this.#isMac('csrf', kid, session, mac)
  }

  /** The session cookie's value for the session as it is after this grant. */
  write({ refreshToken }: Grant): string {
    const { session, generation } = readRefreshToken(refreshToken, this.#keys)!
    const kid = this.#keys.activeRefreshKid()
    const text = `tls1.${kid}.${session}.${generation}`
    return `${text}.${this.#keys.derivedMac('session-cookie', kid, text)!.toString('base64url')}`
  }

  /** The session a session cookie belongs to, if this gateway wrote it; whether the session lives only the store can tell. */
  sessionOf(cookie: string): string | undefined {
    return this.#read(cookie)?.session
  }

  /** Renews a session by its cookie; rejects with InvalidGrant when it is over. Requests that bring the same cookie at the same time share one exchange. */
  renew(cookie: string): Promise<Grant> {
    const shown = this.#read(cookie)
    if (shown === undefined) return Promise.reject(InvalidGrant([], { reason: 'refresh.malformed' }))
    const key = `${shown.session}.${shown.generation}`
    let renewing = this.#renewing.get(key)
    if (renewing === undefined) {
      renewing = this.#exchange(shown).finally(() => this.#renewing.delete(key))
      this.#renewing.set(key, renewing)
    }
    return renewing
  }

  #read(cookie: string): RefreshToken | undefined {
    const [, text, kid, session, generation, mac] = sessionForm.exec(cookie) ?? []
    if (text === undefined || !this.#isMac('session-cookie', kid!, text, mac!)) return undefined
    return { session: session!, generation: Number(generation) }
  }

  #isMac(purpose: string, kid: string, text: string, mac: string): boolean {
    const expected = isCanonical(mac) ? this.#keys.derivedMac(purpose, kid, text) : undefined
    return expected !== undefined && timingSafeEqual(expected, Buffer.from(mac, 'base64url'))
  }
}
