import { createSecretKey, type KeyObject } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isCanonical } from '../tokens/base64url.ts'
import { KeyRefused } from '../tokens/jwk.ts'
import { importSigningKey, type SigningKey } from './signing-key.ts'
import { MasterKey } from './user-keys.ts'

const time = (description: string) =>
  Type.Optional(Type.Integer({ description, minimum: 0, maximum: 8_640_000_000_000_000 }))
const member = (description: string) =>
  Type.Optional(Type.String({ description, pattern: '^[A-Za-z0-9_-]{1,2800}$' }))

/** One key of the file: a private JWK (RFC 7517) and when it does what. */
const KeyRecord = Type.Object(
  {
    kty: Type.String({ description: 'Key type.', maxLength: 16 }),
    kid: Type.String({ description: 'Names the key in token headers.', pattern: '^[A-Za-z0-9._~-]{1,64}$' }),
    alg: Type.String({ description: 'The one algorithm of the key.', maxLength: 16 }),
    use: Type.Union([
      Type.Literal('sig', { description: 'Signs tokens.' }),
      Type.Literal('refresh', { description: 'Authenticates refresh tokens.' }),
      Type.Literal('per-user', { description: 'The master secret that the keys of users are derived from.' }),
      Type.Literal('user-hash', { description: 'Hides user ids in store keys.' })
    ]),
    signFrom: time('Milliseconds since the epoch from which the key signs, if no later key does.'),
    verifyUntil: time('Milliseconds since the epoch from which it verifies no more.'),
    revokedAt: time('Milliseconds since the epoch when it was revoked; nothing it signed holds since.'),
    crv: Type.Optional(Type.String({ description: 'Curve.', maxLength: 16 })),
    x: member('Public coordinate.'),
    y: member('Public coordinate.'),
    n: member('Public modulus.'),
    e: member('Public exponent.'),
    d: member('Private key.'),
    p: member('Private prime.'),
    q: member('Private prime.'),
    dp: member('Private exponent.'),
    dq: member('Private exponent.'),
    qi: member('Private coefficient.'),
    k: member('Secret.'),
    key_ops: Type.Optional(
      Type.Array(Type.String({ description: 'Written by other tools; not looked at.' }))
    ),
    ext: Type.Optional(Type.Boolean({ description: 'Written by other tools; not looked at.' }))
  },
  { additionalProperties: false }
)
const KeyFile = Type.Object(
  { keys: Type.Array(KeyRecord, { minItems: 1, maxItems: 256 }) },
  { additionalProperties: false }
)

export type KeyRecord = Static<typeof KeyRecord>
export type KeyUse = KeyRecord['use']

/** The keys of a file, ready for use. */
export interface KeySet {
  readonly records: readonly KeyRecord[]
  readonly signing: ReadonlyMap<string, SigningKey>
  /** Those that each user has another one of. */
  readonly masters: ReadonlyMap<string, MasterKey>
  /** Those that sign no tokens. */
  readonly secrets: ReadonlyMap<string, KeyObject>
}

/** Reads a key file's text and takes every key in. The sentences it throws name the file and never a part of a key. */
export function parseKeyFile(name: string, text: string, mode: number): KeySet {
  if ((mode & 0o007) !== 0) {
    throw new Error(
      `${name} holds private keys and may be read by anybody on this machine; run chmod 600 on it, or mount it with mode 0440.`
    )
  }
  const records = readRecords(name, text)
  const signing = new Map<string, SigningKey>()
  const masters = new Map<string, MasterKey>()
  const secrets = new Map<string, KeyObject>()
  for (const record of records) {
    const { kid, use } = record
    if (signing.has(kid) || masters.has(kid) || secrets.has(kid)) {
      throw new Error(`${name} has two keys with the kid "${kid}"; give one of them another.`)
    }
    try {
      if (use === 'sig') signing.set(kid, importSigningKey(record, kid, record.alg))
      else if (use === 'per-user') masters.set(kid, new MasterKey(kid, importSecret(record)))
      else secrets.set(kid, importSecret(record))
    } catch (error) {
      if (!(error instanceof KeyRefused)) throw error
      throw new Error(
        `${name}: the key "${kid}" cannot be used, since ${error.message}; replace it or take it out.`
      )
    }
  }
  return { records, signing, masters, secrets }
}

/** Throws unless there is a key for each of these uses, now or later; `orRevoked` when one that was revoked will do. */
export function requireUses(
  name: string,
  records: readonly KeyRecord[],
  uses: readonly KeyUse[],
  { now, orRevoked }: { readonly now: number; readonly orRevoked: boolean }
): void {
  for (const use of uses) {
    const has = (record: KeyRecord): boolean =>
      record.use === use && (isUsable(record, now) || (orRevoked && record.revokedAt !== undefined))
    if (records.some(has)) continue
    throw new Error(
      `${name} has no key in force for "${use}"; run "toll key rotate --now", which adds what is missing, or restore the file.`
    )
  }
}

export const isUsable = ({ verifyUntil, revokedAt }: KeyRecord, now: number): boolean =>
  revokedAt === undefined && (verifyUntil === undefined || verifyUntil > now)

export const signFromOf = ({ signFrom = 0 }: KeyRecord): number => signFrom

/**
 * The key that signs at a time: the one that began last; before any has begun, the one that is first to. Where that one was
 * revoked its successor steps in early, rather than a key that is on its way out.
 */
export function activeOf<Key extends KeyRecord>(
  records: Iterable<Key>,
  use: KeyUse,
  now: number
): Key | undefined {
  const own = [...records].filter((record) => record.use === use)
  const began = own.filter((record) => signFromOf(record) <= now).sort(bySignFrom)
  const latest = began.at(-1)
  if (latest !== undefined && isUsable(latest, now)) return latest
  const waiting = own.filter((record) => signFromOf(record) > now && isUsable(record, now)).sort(bySignFrom)
  return waiting[0] ?? began.filter((record) => isUsable(record, now)).at(-1)
}

const bySignFrom = (a: KeyRecord, b: KeyRecord): number => signFromOf(a) - signFromOf(b)

export type KeyState = 'next' | 'active' | 'retired' | 'gone' | 'revoked'

/** What a key does at a time, which follows from its own times and those of the others. */
export function stateOf(record: KeyRecord, records: readonly KeyRecord[], now: number): KeyState {
  if (record.revokedAt !== undefined) return 'revoked'
  if (!isUsable(record, now)) return 'gone'
  if (activeOf(records, record.use, now) === record) return 'active'
  return signFromOf(record) > now ? 'next' : 'retired'
}

/** A key as it is shown to people: everything but the key itself. */
export interface KeyReport {
  readonly kid: string
  readonly use: KeyUse
  readonly alg: string
  readonly state: KeyState
  readonly signFrom: string
  readonly verifyUntil: string | null
  readonly revokedAt: string | null
}

export function reportOf(record: KeyRecord, records: readonly KeyRecord[], now: number): KeyReport {
  const { kid, use, alg, verifyUntil, revokedAt } = record
  return {
    kid,
    use,
    alg,
    state: stateOf(record, records, now),
    signFrom: new Date(signFromOf(record)).toISOString(),
    verifyUntil: verifyUntil === undefined ? null : new Date(verifyUntil).toISOString(),
    revokedAt: revokedAt === undefined ? null : new Date(revokedAt).toISOString()
  }
}

function readRecords(name: string, text: string): readonly KeyRecord[] {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    throw new Error(`${name} is not a key file: it is not valid JSON; restore it.`)
  }
  if (!Value.Check(KeyFile, raw)) {
    const at = Value.Errors(KeyFile, raw).First()?.path || '/'
    throw new Error(
      `${name} is not a key file: the value at ${at} is not what belongs there; docs/guides/keys.md shows what does.`
    )
  }
  return raw.keys
}

/** A refresh token names its key between dots. */
const secretKid = /^[A-Za-z0-9_~-]+$/

function importSecret({ kid, kty, alg, k = '' }: KeyRecord): KeyObject {
  if (kty !== 'oct' || alg !== 'HS256') throw new KeyRefused('a key of this "use" has kty "oct", alg "HS256"')
  if (!secretKid.test(kid)) throw new KeyRefused('the kid of a key of this "use" has no dot')
  if (!isCanonical(k)) throw new KeyRefused('the secret is not base64url')
  const secret = Buffer.from(k, 'base64url')
  if (secret.length < 32) throw new KeyRefused('the secret is shorter than 32 bytes')
  return createSecretKey(secret)
}
