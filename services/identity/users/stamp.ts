import { createHash } from 'node:crypto'
import type { UserRecord } from './user-file.ts'

/**
 * What a user's sessions are bound to: the stored hash, or the one that stood there before the same password was hashed anew. A stamp
 * that was carried over names the hash it is for, so that a password changed by hand ends the sessions all the same.
 */
export function stampOf({ password, stamp }: UserRecord): string {
  const own = digest(password)
  const [carried, heir] = stamp?.split('.') ?? []
  return carried !== undefined && heir === own ? carried : own
}

/** The record's `stamp` when its password is hashed anew as `after`. */
export const carriedStamp = (record: UserRecord, after: string): string =>
  `${stampOf(record)}.${digest(after)}`

const digest = (phc: string): string => createHash('sha256').update(phc).digest('base64url').slice(0, 16)
