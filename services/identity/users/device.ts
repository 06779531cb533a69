import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { cookieNames } from '../cookies/names.ts'
import { isCanonical } from '../tokens/base64url.ts'

/** Sent back to the sign-in door only. */
export const deviceCookie = cookieNames.device

/** What makes and checks MACs with the keys of the ring. */
export interface DeviceKeys {
  refreshMac(kid: string, text: string): Buffer | undefined
  activeRefreshKid(): string
}

export interface Device {
  readonly id: string
  /** Stands for the name that was signed in with. */
  readonly userHash: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

const form =
  /^(tld1\.([A-Za-z0-9_~-]{1,64})\.([A-Za-z0-9_-]{12})\.([A-Za-z0-9_-]{16})\.([1-9][0-9]{0,11}))\.([A-Za-z0-9_-]{43})$/

/** A device that has not been here before, or not lately. */
export const newDevice = (userHash: string, expiresAt: number): Device => ({
  id: randomBytes(12).toString('base64url'),
  userHash,
  expiresAt
})

/** `tld1.<kid>.<user hash>.<id>.<expiry>.<mac>`. Nothing of it is stored, and it opens nothing: a password is needed all the same. */
export function writeDevice({ id, userHash, expiresAt }: Device, keys: DeviceKeys): string {
  const kid = keys.activeRefreshKid()
  const text = `tld1.${kid}.${userHash}.${id}.${expiresAt}`
  return `${text}.${macOf(text, kid, keys)!.toString('base64url')}`
}

/** Undefined for what this gateway did not write, what is over, and what is another user's. */
export function readDevice(
  value: string,
  userHash: string,
  keys: DeviceKeys,
  now: number
): Device | undefined {
  const [, text, kid, owner, id, expiry, mac] = form.exec(value) ?? []
  if (text === undefined || kid === undefined || id === undefined || mac === undefined) return undefined
  const expiresAt = Number(expiry)
  if (owner !== userHash || expiresAt * 1000 <= now || !isCanonical(mac)) return undefined
  const expected = macOf(text, kid, keys)
  if (expected === undefined || !timingSafeEqual(expected, Buffer.from(mac, 'base64url'))) return undefined
  return { id, userHash, expiresAt }
}

/** The value of a cookie in a Cookie header. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const start = `${name}=`
  const found = header?.split(/; */).find((pair) => pair.startsWith(start))
  return found?.slice(start.length)
}

/** A key of its own for devices, derived from the one for refresh tokens (no refresh token is spelt like that). */
function macOf(text: string, kid: string, keys: DeviceKeys): Buffer | undefined {
  const key = keys.refreshMac(kid, 'tollkeeper device key')
  return key && createHmac('sha256', key).update(text).digest()
}
