import type { AuthOptions } from '../slice.ts'

/**
 * The gateway's cookies. With the prefix `__Host-` browsers take a cookie from this very host only, over TLS, for all paths: neither
 * another subdomain nor a page in plain text can plant one. A cookie for one path cannot have it, and takes `__Secure-`.
 */
export const cookieNames = Object.freeze({
  /** The access token. */
  access: '__Host-toll_at',
  /** What the gateway renews the access token with by itself. */
  session: '__Host-toll_st',
  /** The refresh token, for the refresh door alone. */
  refresh: '__Secure-toll_rt',
  /** The mark of a device that has signed in, for the sign-in door alone. */
  device: '__Secure-toll_device'
})

/** Whether the gateway sets any of them: those of sessions by `auth.cookie`, that of the device wherever users sign in. */
export const setsCookies = (auth: Pick<AuthOptions, 'cookie' | 'users'> | undefined): boolean =>
  auth !== undefined && (auth.cookie !== undefined || (auth.users ?? none).driver !== 'none')

const none = { driver: 'none' }

/** However it is spelt: what a service or another parser may take for one of ours is not passed on in either direction. */
const ours = /^[\s=]*(?:__host-toll_at|__host-toll_st|__secure-toll_rt|__secure-toll_device)\s*(?:[=;]|$)/i
const mark = 'toll_'

/** Whether a cookie, as `name=value` with what may follow it, has one of the gateway's names. */
export const isOwnCookie = (pair: string): boolean => ours.test(pair)

/** A Cookie header without the gateway's cookies, the others byte for byte and in order; '' when none is left. */
export function withoutOwnCookies(header: string): string {
  if (!header.toLowerCase().includes(mark)) return header
  const pairs = header.split(';')
  const kept = pairs.filter((pair) => !isOwnCookie(pair))
  if (kept.length === pairs.length) return header
  return kept.join(';').trim()
}
