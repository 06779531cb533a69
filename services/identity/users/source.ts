/** What a user may do, as of now. */
export interface User {
  readonly uid: string
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  /** Changes when the password does: a session that began with another one ends. */
  readonly stamp: string
  /** The password was right, but another one has to be chosen before anything else. */
  readonly mustChange?: boolean
}

/** Who signs in, as far as it matters for looking at a password. */
export interface Asker {
  readonly address?: string
  readonly agent?: string
  /** Through which client of the gateway. */
  readonly client?: string | undefined
  /** Whether the client has left: nothing is done for it any more. */
  readonly isGone?: () => boolean
}

/** Where users come from. */
export interface UserSource {
  /** Undefined for an unknown user and for a wrong password alike, after the same time. */
  verifyCredentials(name: string, password: string, asker?: Asker): Promise<User | undefined>
  /**
   * Undefined when the user is gone or may not sign in any more. With a `stamp`, what is remembered from a while ago counts only if it
   * has the same one.
   */
  find(uid: string, stamp?: string): Promise<User | undefined>
  /** Whether somebody else has to be asked, who may not answer. */
  readonly isRemote: boolean
  /** Calls back when a user is gone, may not sign in any more (no stamp), or has another password. */
  onChanged(listener: UserListener): void
  /** The names users sign in with, where they are known. */
  names?(): Iterable<string>
  close(): void | Promise<void>
}

export type UserListener = (uid: string, stamp: string | undefined) => void
