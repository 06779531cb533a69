import type { FastifyRequest } from 'fastify'
import type { Access } from '../../services/identity/access.ts'
import { missing } from '../../services/identity/challenge.ts'
import type { Identity } from '../../services/identity/identity.ts'
import type { Holder, Refusal } from '../../services/identity/parts.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { AccessClaims } from '../../services/identity/tokens/claims.ts'
import type { Verified } from '../../services/identity/tokens/verifier.ts'
import type { Step } from '../plugin.ts'
import { CookieStep } from './cookie-step.ts'
import { credentialReader } from './credentials.ts'
import { refused } from './refusals.ts'

/** The step that lets a request pass as whom its credential says it is, for one route or door. */
export function authenticateStep(identity: Identity, access: Access, auth: AuthOptions): Step {
  const read = credentialReader(access, auth)
  const cookies = access.credentials.includes('cookie') ? new CookieStep(identity, auth) : undefined
  return (request, reply) => {
    const credential = read(request.raw)
    if (credential === undefined) {
      if (access.mode === 'required') throw missing(access.credentials)
      return undefined
    }
    const verdict =
      credential.kind === 'cookie'
        ? cookies!.check(request, reply, credential.value, access)
        : identity.check(credential, access)
    if (verdict instanceof Promise) return verdict.then((later) => admit(request, later))
    return admit(request, verdict)
  }
}

/** The same for a token that came another way, such as to the admin listener; rejects with a problem. */
export async function verifyToken(identity: Identity, token: string, audience: string): Promise<Verified> {
  const verdict = await identity.checkToken(token, { session: 'revocable', audience })
  if (typeof verdict === 'string') throw refused(verdict)
  return verdict
}

function admit(request: FastifyRequest, verdict: Holder | Refusal): void {
  if (typeof verdict === 'string') throw refused(verdict)
  request.exchange.principal = verdict
  request.user = verdict.claims as AccessClaims
}
