import { isCanonical } from './base64url.ts'
import type { VerifyKey } from './jwk.ts'
import { type JSONObject, readObject } from './strict-json.ts'

/** Why a token was refused: for the log and a metric, never for the client. */
export type Reason =
  | 'malformed'
  | 'alg'
  | 'kid'
  | 'kid.unknown'
  | 'signature'
  | 'payload'
  | 'claims.exp'
  | 'claims.nbf'
  | 'claims.iat'
  | 'claims.iss'
  | 'claims.aud'
  | 'claims.sub'
  | 'claims.form'
  | 'issuer.unknown'
  | 'issuer.other'
  | 'issuer.unavailable'

/** The header of a JWS (RFC 7515 4), of which nothing else is ever looked at. */
export interface Header {
  readonly alg: string
  readonly kid: string | undefined
  readonly typ: string | undefined
}

export const maxTokenLength = 8192
const maxHeaderLength = 1366
/** Members that change what a signature means or bring their own key: refused in any form, even an empty one. */
const refusedMembers = ['crit', 'b64', 'jku', 'jwk', 'x5u', 'x5c', 'zip']

/** Splits a compact JWS into its three segments; undefined unless each is there and in its only spelling. */
export function splitCompact(token: string): readonly [string, string, string] | undefined {
  if (token.length > maxTokenLength) return undefined
  const first = token.indexOf('.')
  const second = token.indexOf('.', first + 1)
  if (first < 1 || second < 0 || token.indexOf('.', second + 1) >= 0) return undefined
  const segments = [token.slice(0, first), token.slice(first + 1, second), token.slice(second + 1)] as const
  return segments[2] !== '' && segments.every(isCanonical) ? segments : undefined
}

/** Reads a JWS header: small, flat, each member once, nothing that asks for trust. */
export function readHeader(segment: string): Header | undefined {
  if (segment.length > maxHeaderLength) return undefined
  const header = readObject(Buffer.from(segment, 'base64url'), 1)
  if (header === undefined || refusedMembers.some((name) => Object.hasOwn(header, name))) return undefined
  const { alg, kid, typ } = header
  if (typeof alg !== 'string') return undefined
  if (kid !== undefined && typeof kid !== 'string') return undefined
  if (typ !== undefined && typeof typ !== 'string') return undefined
  return { alg, kid, typ }
}

/** Checks the signature over the segments as they were sent, then and only then reads the payload. */
export function openPayload(
  [header, payload, signature]: readonly [string, string, string],
  key: VerifyKey
): JSONObject | Reason {
  const input = Buffer.from(`${header}.${payload}`, 'latin1')
  if (!key.verify(input, Buffer.from(signature, 'base64url'))) return 'signature'
  return readPayload(payload) ?? 'payload'
}

/** What a payload claims. Before its signature is checked that is good for one thing: to choose whose keys to check it with. */
export const readPayload = (payload: string): JSONObject | undefined =>
  readObject(Buffer.from(payload, 'base64url'), 16)
