import type { FastifyRequest } from 'fastify'
import type { Access } from '../../services/identity/access.ts'
import { missing } from '../../services/identity/challenge.ts'
import type { Identity } from '../../services/identity/identity.ts'
import type { Asked } from '../../services/identity/judge.ts'
import type { Credential, Holder, Refusal } from '../../services/identity/parts.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { AccessClaims } from '../../services/identity/tokens/claims.ts'
import type { Verified } from '../../services/identity/tokens/verifier.ts'
import type { Ahead, Note, Step } from '../plugin.ts'
import { CookieStep } from './cookie-step.ts'
import { credentialReader } from './credentials.ts'
import { refused } from './refusals.ts'

/** The step that lets a request pass as whom its credential says it is, for one route or door. */
export function authenticateStep(identity: Identity, access: Access, auth: AuthOptions): Step {
  const read = credentialReader(access, auth)
  const cookies = access.credentials.includes('cookie') ? new CookieStep(identity, auth) : undefined
  const find = ({ raw }: FastifyRequest): Credential | undefined => {
    const credential = read(raw)
    if (credential === undefined && access.mode === 'required') throw missing(access.credentials)
    return credential
  }
  let ahead: Ahead | undefined
  const step: Step = (request, reply) => {
    const credential = find(request)
    if (credential === undefined) return undefined
    const asked =
      ahead === undefined ? access : askedAlongside(access, (holder, gate) => ahead!(request, holder, gate))
    const verdict =
      credential.kind === 'cookie'
        ? cookies!.check(request, reply, credential.value, asked)
        : identity.check(credential, asked)
    if (verdict instanceof Promise) return verdict.then((later) => admit(request, later))
    return admit(request, verdict)
  }
  return Object.assign(step, {
    precedes(next: Ahead): void {
      // Elsewhere the store is asked for a session too rarely for it to matter.
      if (access.session === 'strict') ahead = next
    },
    async explain(request: FastifyRequest, note: Note): Promise<void> {
      const { mode, credentials, session, audience } = access
      note({ mode, takes: credentials, session, audience, credential: 'none' })
      const credential = find(request)
      if (credential === undefined) return
      note({ credential: credential.kind })
      const verdict =
        credential.kind === 'cookie'
          ? await cookies!.judge(request, credential, access)
          : await identity.judge(credential, access)
      note({ ...identity.evidence(credential, access, verdict) })
      admit(request, verdict)
    }
  })
}

/** Not spread, for the sake of its shape; see freezeVerified. */
const askedAlongside = (
  { session, onStale, audience, issuers }: Access,
  alongside: NonNullable<Asked['alongside']>
): Asked & Pick<Access, 'onStale'> => ({ session, onStale, audience, issuers, alongside })

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
