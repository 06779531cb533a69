import type { FastifyReply, FastifyRequest } from 'fastify'
import { isProblem, Unauthenticated } from '../../errors.ts'
import type { Access } from '../../services/identity/access.ts'
import { challenge } from '../../services/identity/challenge.ts'
import { isSessionCookie } from '../../services/identity/cookies/cookie-sessions.ts'
import type { Grant, Identity } from '../../services/identity/identity.ts'
import type { Alongside } from '../../services/identity/judge.ts'
import type { Credential, Holder, Refusal } from '../../services/identity/parts.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import { Untold } from '../plugin.ts'
import { CookieJar } from './cookie-jar.ts'
import { foreign, OwnPage } from './own-page.ts'

type Verdict = Holder | Refusal
type Asked = Pick<Access, 'session' | 'audience' | 'onStale'> & Alongside

/** Checks requests that come with the gateway's cookies, and renews the session behind them. */
export class CookieStep {
  readonly jar: CookieJar
  readonly #identity: Identity
  readonly #ownPage: OwnPage

  constructor(identity: Identity, auth: AuthOptions) {
    this.jar = new CookieJar(identity, auth)
    this.#identity = identity
    this.#ownPage = new OwnPage(auth.cookie?.origins ?? [])
  }

  /** Whom the access cookie stands for; `value` is what a `cookieReader` found. Throws when another page may have sent the request. */
  check(
    request: FastifyRequest,
    reply: FastifyReply,
    value: string,
    access: Asked
  ): Verdict | Promise<Verdict> {
    const proof = this.#ownPage.doubt(request)
    if (this.jar.renews && isSessionCookie(value)) return this.#renew(reply, value, proof, access)
    // Nothing is counted for a page that has to prove yet that it is ours.
    const asked = proof === undefined ? access : { ...access, alongside: undefined }
    const verdict = this.#identity.checkToken(value, asked)
    return verdict instanceof Promise
      ? verdict.then((later) => this.#settle(request, reply, later, proof, access))
      : this.#settle(request, reply, verdict, proof, access)
  }

  /** Decides as `check` does, but for a renewal: that would use the session cookie up, and nothing else tells how it ends. */
  async judge(request: FastifyRequest, credential: Credential, access: Asked): Promise<Verdict> {
    const proof = this.#ownPage.doubt(request)
    if (this.jar.renews && isSessionCookie(credential.value)) throw renewal()
    const verdict = await this.#identity.judge(credential, access)
    if (typeof verdict !== 'string') this.#prove(proof, verdict.session)
    else if (renewable.has(verdict) && this.jar.session(request.raw) !== undefined) throw renewal()
    return verdict
  }

  /** Throws unless a page of ours sends this; `session` is the one its token has to be for, if there is one yet. */
  requireOwnPage(request: FastifyRequest, session?: string): void {
    this.#prove(this.#ownPage.doubt(request), session)
  }

  /** Gives the next tokens of a session; when it is over, the browser is told to forget it. */
  async forgetWhenOver(reply: FastifyReply, granting: Promise<Grant>): Promise<Grant> {
    try {
      return await granting
    } catch (refusal) {
      if (isProblem(refusal) && refusal.code === 'INVALID_GRANT') this.jar.clear(reply)
      throw refusal
    }
  }

  #settle(
    request: FastifyRequest,
    reply: FastifyReply,
    verdict: Verdict,
    proof: string | undefined,
    access: Asked
  ): Verdict | Promise<Verdict> {
    if (typeof verdict !== 'string') {
      this.#prove(proof, verdict.session)
      return verdict
    }
    const session = renewable.has(verdict) ? this.jar.session(request.raw) : undefined
    if (session !== undefined) return this.#renew(reply, session, proof, access)
    if (over.has(verdict)) this.jar.clear(reply)
    return verdict
  }

  async #renew(
    reply: FastifyReply,
    cookie: string,
    proof: string | undefined,
    access: Asked
  ): Promise<Verdict> {
    const { cookies } = this.#identity
    if (proof !== undefined) this.#prove(proof, cookies.sessionOf(cookie))
    let grant: Grant
    try {
      grant = await this.forgetWhenOver(reply, cookies.renew(cookie))
    } catch (refusal) {
      if (!isProblem(refusal) || refusal.code !== 'INVALID_GRANT') throw refusal
      throw Unauthenticated(['The session has ended; sign in again.'], {
        reason: refusal.reason ?? 'refresh',
        headers: challenge('invalid_token')
      })
    }
    return this.#identity.checkToken(await this.jar.set(reply, grant), access)
  }

  #prove(proof: string | undefined, session: string | undefined): void {
    if (proof === undefined) return
    if (session === undefined || !this.#identity.cookies.isCsrfToken(proof, session)) throw foreign()
  }
}

const renewal = (): Untold =>
  new Untold('The session would be renewed by its cookie; only doing so tells whether it lives.')

/** What another access token of the same session would mend. */
const renewable: ReadonlySet<Refusal> = new Set<Refusal>(['claims.exp', 'kid', 'revoked.kid', 'revoked.jti'])

/** What nothing mends but another sign-in. */
const over: ReadonlySet<Refusal> = new Set<Refusal>(['revoked.sid', 'revoked.epoch', 'revoked.gone'])
