import type { Access } from './access.ts'
import type { Credential, Holder, IdentityParts, Refusal } from './parts.ts'
import { readHeader, splitCompact } from './tokens/compact.ts'
import { type JSONObject, readObject } from './tokens/strict-json.ts'

export type Evidence = Readonly<Record<string, unknown>>

/**
 * What a verdict about a credential rests on, for whoever runs the gateway: the values that decided, beside what they were compared
 * with. It decides nothing, and never holds a token, a key or a signature.
 */
export function evidenceOf(
  parts: IdentityParts,
  { kind, value }: Credential,
  { audience }: Pick<Access, 'audience'>,
  verdict: Holder | Refusal
): Evidence {
  if (typeof verdict !== 'string') return holderOf(parts, verdict)
  if (kind === 'api-key') return parts.apiKeys?.describe(value) ?? {}
  const segments = splitCompact(value)
  if (segments === undefined) return { length: value.length, segments: value.split('.').length }
  const { alg, kid, typ } = readHeader(segments[0]) ?? {}
  // Nothing of the payload before the signature held: until then anybody may have written it.
  const isSigned = /^(claims|revoked)\.|^(stale|store)$/.test(verdict)
  const claims = isSigned ? readObject(Buffer.from(segments[1], 'base64url'), 16) : undefined
  const signing = signingOf(parts, kid)
  if (claims === undefined) return { alg, kid, typ, ...signing }
  return { kid, ...signing, ...decisive(parts, verdict, claims, audience) }
}

function holderOf(parts: IdentityParts, holder: Holder): Evidence {
  const { subject, session, scopes, key, isOwn } = holder
  const signing = isOwn && 'kid' in holder ? signingOf(parts, holder.kid as string) : {}
  return { subject, session, key, scopes, isOwn, ...signing }
}

/** Told where a token stands on the key of its user, since no other key of the file can have signed it. */
const signingOf = ({ keys }: IdentityParts, kid: string | undefined): Evidence =>
  kid !== undefined && keys.isForUsers(kid) ? { signing: 'per-user' } : {}

function decisive(parts: IdentityParts, verdict: Refusal, claims: JSONObject, audience: string): Evidence {
  const { iss, sub, aud, exp, iat, nbf, jti, sid, ep, client_id: client } = claims
  const now = Math.floor(parts.now() / 1000)
  switch (verdict) {
    case 'claims.exp':
      return { exp, iat, now, longest: Math.ceil(parts.access / 1000) }
    case 'claims.nbf':
      return { nbf, now }
    case 'claims.iat':
      return { iat, now }
    case 'claims.iss':
      return { iss, wanted: parts.issuer }
    case 'claims.aud':
      return { aud, wanted: audience }
    case 'stale':
      return { session: sid, iat, now, revocations: knowledgeOf(parts) }
    default:
      return { subject: sub, session: sid, epoch: ep, jti, client }
  }
}

const knowledgeOf = ({ revocations, freshness }: IdentityParts): Evidence => ({
  ...revocations.state(),
  isFresh: !freshness.isStale(),
  lag: freshness.lag / 1000
})
