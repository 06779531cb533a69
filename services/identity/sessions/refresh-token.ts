import { randomBytes, timingSafeEqual } from 'node:crypto'
import { isCanonical } from '../tokens/base64url.ts'

/** What a refresh token says once its MAC is right. */
export interface RefreshToken {
  /** The session id: the user's hash, then 128 random bits. */
  readonly session: string
  readonly generation: number
}

export interface RefreshKeys {
  refreshMac(kid: string, text: string): Buffer | undefined
  activeRefreshKid(): string
  has(kid: string): boolean
  /** Looks whether there are new keys. */
  look(): Promise<void>
}

export const userHashLength = 12
const form =
  /^(tlr1\.([A-Za-z0-9_~-]{1,64})\.([A-Za-z0-9_-]{12})\.([A-Za-z0-9_-]{22})\.(0|[1-9][0-9]{0,9}))\.([A-Za-z0-9_-]{43})$/
const sessionForm = /^[A-Za-z0-9_-]{34}$/

/** A new session id. It starts with the user's hash, so that everything about a session is found by its id alone. */
export const newSessionId = (userHash: string): string => userHash + randomBytes(16).toString('base64url')

export const isSessionId = (text: string): boolean => sessionForm.test(text)

export const userHashOf = (session: string): string => session.slice(0, userHashLength)

/**
 * The refresh token of one generation of a session: `tlr1.<kid>.<user hash>.<random>.<generation>.<mac>`. Nothing of it is stored:
 * the store keeps the generation only, and the successor of a token can be made again when its answer was lost.
 */
export function writeRefreshToken({ session, generation }: RefreshToken, keys: RefreshKeys): string {
  const kid = keys.activeRefreshKid()
  const text = `tlr1.${kid}.${userHashOf(session)}.${session.slice(userHashLength)}.${generation}`
  return `${text}.${keys.refreshMac(kid, text)!.toString('base64url')}`
}

/** The same for a token that may be by a key another gateway has read before this one. */
export async function takeRefreshToken(token: string, keys: RefreshKeys): Promise<RefreshToken | undefined> {
  const kid = form.exec(token)?.[2]
  if (kid !== undefined && !keys.has(kid)) await keys.look()
  return readRefreshToken(token, keys)
}

/** Undefined for anything this gateway did not write: that costs one MAC and no store call. */
export function readRefreshToken(token: string, keys: RefreshKeys): RefreshToken | undefined {
  const [, text, kid, userHash, random, generation, mac] = form.exec(token) ?? []
  if (text === undefined || kid === undefined || mac === undefined || !isCanonical(mac)) return undefined
  const expected = keys.refreshMac(kid, text)
  if (expected === undefined || !timingSafeEqual(expected, Buffer.from(mac, 'base64url'))) return undefined
  return { session: `${userHash}${random}`, generation: Number(generation) }
}
