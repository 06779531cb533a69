import type { FastifyReply, FastifyRequest } from 'fastify'
import { BadRequest } from '../../errors.ts'
import { cookieReader } from '../../plugins/authenticate/cookie-jar.ts'
import { CookieStep } from '../../plugins/authenticate/cookie-step.ts'
import { refused } from '../../plugins/authenticate/refusals.ts'
import type { Grant, Identity } from '../../services/identity/identity.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import { type Answer, spell } from './answers.ts'
import { clientField, flagField } from './body.ts'

/** How the doors serve pages that hold no tokens; without `auth.cookie` no cookie is looked at. */
export class CookieDoors {
  readonly #step: CookieStep
  readonly #auth: AuthOptions
  readonly #identity: Identity
  readonly #isOn: boolean
  readonly #read: ReturnType<typeof cookieReader>

  constructor(identity: Identity, auth: AuthOptions) {
    this.#step = new CookieStep(identity, auth)
    this.#auth = auth
    this.#identity = identity
    this.#isOn = auth.cookie !== undefined
    this.#read = cookieReader(auth)
  }

  /** Whether a sign-in asks for cookies. Another page may not have a browser sign in: its user would work in a stranger's account. */
  wants(request: FastifyRequest): boolean {
    if (!flagField(request.body, 'cookie')) return false
    if (!this.#isOn) {
      throw BadRequest(['This gateway sets no cookies; its config has no "auth.cookie".'], {
        reason: 'no_cookies'
      })
    }
    this.#step.requireOwnPage(request)
    return true
  }

  /** Puts the tokens into cookies; the page gets what it needs to know and nothing that is worth stealing. */
  async give(reply: FastifyReply, grant: Grant): Promise<FastifyReply> {
    await this.#step.jar.set(reply, grant)
    const { session, expiresIn, endsIn } = grant
    return reply.send(
      spell(this.#auth.fields, {
        session,
        expires_in: expiresIn,
        session_expires_in: endsIn,
        ...this.proof(session)
      })
    )
  }

  /** The token by which a page of the session shows that it is one. */
  proof(session: string | undefined): Answer {
    return this.#isOn && session !== undefined
      ? { csrf_token: this.#identity.cookies.csrfToken(session) }
      : {}
  }

  /** The next tokens, when the request has a cookie that gives them; `hasOther` says that it shows something else as well. */
  refresh(request: FastifyRequest, reply: FastifyReply, hasOther: boolean): Promise<Grant> | undefined {
    if (!this.#isOn) return undefined
    const { jar } = this.#step
    const cookie = jar.renews ? jar.session(request.raw) : jar.refreshToken(request.raw)
    if (cookie === undefined) return undefined
    if (hasOther) throw refused('credentials.several')
    this.#step.requireOwnPage(request, this.#sessionOf(cookie))
    const granting = jar.renews
      ? this.#identity.cookies.renew(cookie)
      : this.#identity.refresh(cookie, {
          client: clientField(request.body),
          isGone: () => request.raw.socket.destroyed
        })
    return this.#step.forgetWhenOver(reply, granting)
  }

  /** The session that a session cookie alone stands for, whatever became of its access token: enough to end it. */
  sessionToEnd(request: FastifyRequest): string | undefined {
    const cookie = this.#isOn ? this.#step.jar.session(request.raw) : undefined
    const session = cookie && this.#sessionOf(cookie)
    if (session !== undefined) this.#step.requireOwnPage(request, session)
    return session
  }

  /** Has the browser forget a session that it has just ended; nothing for clients without cookies. */
  clear(request: FastifyRequest, reply: FastifyReply): void {
    if (this.#isOn && this.#read(request.raw) !== undefined) this.#step.jar.clear(reply)
  }

  #sessionOf(cookie: string): string | undefined {
    return this.#step.jar.renews ? this.#identity.cookies.sessionOf(cookie) : this.#identity.sessionOf(cookie)
  }
}
