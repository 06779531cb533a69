import type { ApiKeyRefusal, ApiKeys } from './api-keys/api-keys.ts'
import type { HolderNotes } from './holder-notes.ts'
import type { ForeignIssuer } from './issuers/foreign-issuer.ts'
import type { KeyRevoking } from './keys/key-revoking.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { Freshness } from './revocations/freshness.ts'
import type { RevocationReason, Revocations } from './revocations/revocations.ts'
import type { Activity } from './sessions/activity.ts'
import type { SessionProvider } from './sessions/provider.ts'
import type { Sweep } from './sessions/sweep.ts'
import type { Reason } from './tokens/compact.ts'
import type { Verifier } from './tokens/verifier.ts'
import type { LockOut } from './users/lock-out.ts'
import type { UserSource } from './users/source.ts'

/** Why a credential does not let a request pass. `stale` and `store`: nobody can tell at the moment. */
export type Refusal =
  | Reason
  | RevocationReason
  | ApiKeyRefusal
  | 'claims.sid'
  | 'revoked.gone'
  | 'credentials.several'
  | 'stale'
  | 'store'

/** The kinds of credential a route may take. */
export type CredentialKind = 'bearer' | 'api-key' | 'cookie'

/** What a request shows to say who it comes from. */
export interface Credential {
  readonly kind: CredentialKind
  readonly value: string
}

/** Whom a credential that holds stands for. Frozen: requests with the same credential share it. */
export interface Holder {
  readonly subject: string
  /** Undefined where the credential belongs to no session. */
  readonly session: string | undefined
  readonly scopes: readonly string[]
  readonly claims: Readonly<Record<string, unknown>>
  /** Whether this gateway's own issuer vouches for it; rules for "*" and for scopes are about such holders only. */
  readonly isOwn: boolean
  /** Id of the API key that was shown, if it was one. */
  readonly key?: string
  /** Not frozen; undefined where requests of a holder are too few to keep any. */
  readonly notes?: HolderNotes
}

/** Who asks for a session: goes into its record, so that users recognise their own. */
export interface Caller {
  readonly address: string
  readonly agent: string
  /** Whether they have left: nothing is done for them any more. */
  readonly isGone?: () => boolean
  /** What an earlier sign-in left there, for the lock-out to know it again. */
  readonly device?: string | undefined
  /** The client (RFC 6749 2.2) the user signs in with, when it says so. */
  readonly client?: string | undefined
}

/** What the identity service is made of; opened and closed together. */
export interface IdentityParts {
  readonly issuer: string
  readonly audience: string
  /** The ids of the clients users sign in with; the first is for those that name none. */
  readonly clients: readonly string[]
  /** Milliseconds. */
  readonly access: number
  /** Milliseconds. */
  readonly idle: number
  readonly keys: KeyRing
  readonly keyRevoking: KeyRevoking
  readonly users: UserSource | undefined
  readonly lockOut: LockOut
  readonly apiKeys: ApiKeys | undefined
  readonly issuers: readonly ForeignIssuer[]
  readonly verifier: Verifier
  readonly sessions: SessionProvider
  /** Under which key the gateway's store has a session; undefined where another provider keeps them. */
  readonly sessionKeyOf: ((sid: string) => string) | undefined
  readonly activity: Activity
  readonly sweep: Sweep
  readonly revocations: Revocations
  readonly freshness: Freshness
  readonly now: () => number
  readonly warn: (sentence: string) => void
}
