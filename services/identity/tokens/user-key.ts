import type { Reason } from './compact.ts'
import type { VerifyKey } from './jwk.ts'
import type { JSONObject } from './strict-json.ts'
import { readObject } from './strict-json.ts'

/** Whose key it is: a user of one issuer, and how often all of the user's sessions were ended before. */
export interface KeyOwner {
  readonly issuer: string
  readonly subject: string
  readonly epoch: number
}

/** Keys of users under one kid, each made from the owner alone; none of them is kept. */
export interface UserKeys {
  readonly kid: string
  readonly alg: string
  of(owner: KeyOwner): VerifyKey
}

/**
 * The longest payload segment a token by a user's key may have: 3 KiB of claims. It has to be read before the signature is checked,
 * so whatever a stranger puts there is paid for: the dearest text of this length costs about what an ECDSA signature costs to check.
 */
export const maxUserPayload = 4096
/** Claims hold lists, and nothing deeper. */
const maxDepth = 3
/** Characters of an HMAC-SHA256. */
const macLength = 43
/** No control characters, no halves of a surrogate pair. */
const subject = /^[^\p{Cc}\p{Cs}]+$/u

/** Whose key claims ask for; undefined unless they are of the form this gateway gives them. */
export function ownerOf(issuer: string, { sub, ep }: JSONObject): KeyOwner | undefined {
  if (typeof sub !== 'string' || sub.length > 255 || !subject.test(sub)) return undefined
  if (!Number.isSafeInteger(ep) || (ep as number) < 0) return undefined
  return { issuer, subject: sub, epoch: ep as number }
}

/**
 * Checks a signature by the key of the user whom the payload names. Until then the payload chooses a key and is believed nothing
 * else: nobody is looked up, nothing is kept, and a user who does not exist costs what a wrong signature costs.
 */
export function openUserPayload(
  [header, payload, signature]: readonly [string, string, string],
  keys: UserKeys,
  issuer: string
): JSONObject | Reason {
  if (signature.length !== macLength) return 'signature'
  if (payload.length > maxUserPayload) return 'payload'
  const claims = readObject(Buffer.from(payload, 'base64url'), maxDepth)
  const owner = claims && ownerOf(issuer, claims)
  if (claims === undefined || owner === undefined) return 'payload'
  const input = Buffer.from(`${header}.${payload}`, 'latin1')
  return keys.of(owner).verify(input, Buffer.from(signature, 'base64url')) ? claims : 'signature'
}
