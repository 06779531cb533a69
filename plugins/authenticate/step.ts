import type { FastifyRequest } from 'fastify'
import { type Problem, StoreUnavailable, Unauthenticated } from '../../errors.ts'
import { challenge } from '../../services/identity/challenge.ts'
import type { Identity, Refusal } from '../../services/identity/identity.ts'
import type { Access } from '../../services/identity/slice.ts'
import type { Verified } from '../../services/identity/verifier.ts'
import type { Step } from '../plugin.ts'
import { bearerOf } from './bearer.ts'

/** The step that lets a request pass as whom its token says it is, for one route or door. */
export function authenticateStep(
  identity: Identity,
  access: Pick<Access, 'mode' | 'session' | 'audience'>
): Step {
  return (request) => {
    const token = bearerOf(request.raw)
    if (token === undefined) {
      if (access.mode === 'required') throw missing()
      return undefined
    }
    const verdict = identity.check(token, access)
    if (verdict instanceof Promise) return verdict.then((later) => admit(request, later))
    return admit(request, verdict)
  }
}

/** The same for a token that came another way, such as to the admin listener; rejects with a problem. */
export async function verifyToken(identity: Identity, token: string, audience: string): Promise<Verified> {
  const verdict = await identity.check(token, { session: 'revocable', audience })
  if (typeof verdict === 'string') throw refused(verdict)
  return verdict
}

/** What a request without a token is told where one is needed (RFC 6750 3.1: no error code). */
export const missing = (): Problem =>
  Unauthenticated(['This is for signed-in users; send "Authorization: Bearer <access token>".'], {
    reason: 'missing',
    headers: challenge()
  })

function admit(request: FastifyRequest, verdict: Verified | Refusal): void {
  if (typeof verdict === 'string') throw refused(verdict)
  request.exchange.principal = verdict
  request.user = verdict.claims
}

/** What a request with a token that does not hold is told. */
export function refused(reason: Refusal): Problem {
  if (reason === 'stale' || reason === 'store') {
    return StoreUnavailable([], { reason, headers: { 'retry-after': '1' } })
  }
  return Unauthenticated([sentenceOf(reason)], { reason, headers: challenge('invalid_token') })
}

/** Only who has shown a token that was once good is told what became of it. */
function sentenceOf(reason: Refusal): string {
  switch (reason) {
    case 'claims.exp':
      return 'The access token has expired; refresh it or sign in again.'
    case 'claims.aud':
      return 'The access token is for another audience.'
    case 'revoked.sid':
    case 'revoked.epoch':
    case 'revoked.gone':
      return 'The session was ended; sign in again.'
    case 'revoked.jti':
      return 'The access token was revoked; refresh it or sign in again.'
    default:
      return 'The access token is not valid; sign in again.'
  }
}
