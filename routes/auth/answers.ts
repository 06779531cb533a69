import type { Grant } from '../../services/identity/identity.ts'
import type { SessionRecord } from '../../services/identity/sessions/provider.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import type { Verified } from '../../services/identity/tokens/verifier.ts'

export type Answer = Readonly<Record<string, unknown>>

/** Spells the fields of an answer as the config wants them. */
export const spell = (fields: AuthOptions['fields'], answer: Answer): Answer =>
  fields === 'snake'
    ? answer
    : Object.fromEntries(Object.entries(answer).map(([name, value]) => [toCamel(name), value]))

const toCamel = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** What a sign-in and a refresh answer (RFC 6749 5.1, and the session's id). */
export const tokenAnswer = (grant: Grant, accessToken: string): Answer => ({
  access_token: accessToken,
  token_type: 'Bearer',
  expires_in: grant.expiresIn,
  refresh_token: grant.refreshToken,
  session: grant.session
})

export const meAnswer = ({ subject, session, scopes, claims }: Verified): Answer => ({
  user: subject,
  session,
  scopes,
  roles: claims.roles ?? [],
  issued_at: isoTime(claims.iat * 1000),
  expires_at: isoTime(claims.exp * 1000)
})

/** One session as its user and the administrator see it. */
export const sessionAnswer = (session: SessionRecord): Answer => ({
  id: session.sid,
  user: session.uid,
  created_at: isoTime(session.createdAt),
  last_seen_at: isoTime(session.lastSeenAt),
  expires_at: isoTime(session.expiresAt),
  address: session.address,
  agent: session.agent,
  client_id: session.client,
  amr: session.methods
})

const isoTime = (milliseconds: number): string => new Date(milliseconds).toISOString()
