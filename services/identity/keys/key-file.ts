import { generateKeyPairSync, type JsonWebKey, randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { replaceFile, withLock } from '../files/private-file.ts'

const time = (description: string) =>
  Type.Integer({ description, minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const base64url = (description: string) => Type.String({ description, pattern: '^[A-Za-z0-9_-]{20,100}$' })
const kid = Type.String({ description: 'Names the key in token headers.', pattern: '^[A-Za-z0-9_~-]{1,64}$' })
const life = {
  signFrom: time('Milliseconds since the epoch from which the key signs, if no later key does.'),
  verifyUntil: Type.Optional(time('Milliseconds since the epoch from which it verifies no more.'))
}

const SigningRecord = Type.Object(
  {
    kty: Type.Literal('EC', { description: 'Key type.' }),
    crv: Type.Literal('P-256', { description: 'Curve.' }),
    x: base64url('Public coordinate.'),
    y: base64url('Public coordinate.'),
    d: base64url('Private key.'),
    kid,
    alg: Type.Literal('ES256', { description: 'The one algorithm of the key.' }),
    use: Type.Literal('sig', { description: 'Signs access tokens.' }),
    ...life
  },
  { additionalProperties: false }
)
const SecretRecord = Type.Object(
  {
    kty: Type.Literal('oct', { description: 'Key type.' }),
    k: base64url('Secret, 32 bytes or more.'),
    kid,
    alg: Type.Literal('HS256', { description: 'The one algorithm of the key.' }),
    use: Type.Union([Type.Literal('refresh'), Type.Literal('user-hash')], {
      description: 'Authenticates refresh tokens, or hides user ids in store keys.'
    }),
    ...life
  },
  { additionalProperties: false }
)
const KeyFile = Type.Object(
  {
    keys: Type.Array(Type.Union([SigningRecord, SecretRecord]), { minItems: 3, maxItems: 64 })
  },
  { additionalProperties: false }
)

export type SigningRecord = Static<typeof SigningRecord>
export type SecretRecord = Static<typeof SecretRecord>
export type KeyRecord = SigningRecord | SecretRecord

/** A key signs from here on after `rotate`: every gateway has read the file and every verifier the JWKS by then. */
export const publishAhead = 330_000
/** The same when only the gateways matter, which look at the file every second. */
export const readAhead = 3000

/** Reads a key file's text. The sentences it throws name the file and never a part of a key. */
export function parseKeyFile(name: string, text: string, mode: number): readonly KeyRecord[] {
  if ((mode & 0o007) !== 0) {
    throw new Error(
      `${name} holds private keys and may be read by anybody on this machine; run chmod 600 on it.`
    )
  }
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    throw new Error(`${name} is not a key file: it is not valid JSON.`)
  }
  if (!Value.Check(KeyFile, raw)) {
    const at = Value.Errors(KeyFile, raw).First()?.path || '/'
    throw new Error(`${name} is not a key file: the value at ${at} is not what belongs there.`)
  }
  const { keys } = raw
  if (new Set(keys.map((key) => key.kid)).size !== keys.length) {
    throw new Error(`${name} is not a key file: two keys have the same kid.`)
  }
  for (const use of ['sig', 'refresh', 'user-hash'] as const) {
    if (!keys.some((key) => key.use === use && key.verifyUntil === undefined)) {
      throw new Error(
        `${name} has no key in use for "${use}"; restore the file or delete it to start with new keys.`
      )
    }
  }
  return keys
}

export const writeKeys = (keys: readonly KeyRecord[]): string => `${JSON.stringify({ keys }, null, 2)}\n`

export const newKeys = (now: number): readonly KeyRecord[] => [
  newSigningKey(now),
  newSecret('refresh', now),
  newSecret('user-hash', now)
]

export type KeyState = 'next' | 'active' | 'retired' | 'gone'

/** What a key does at a time, which follows from its own times and those of its successors. */
export function stateOf(
  { use, signFrom, verifyUntil }: KeyRecord,
  keys: readonly KeyRecord[],
  now: number
): KeyState {
  if (verifyUntil !== undefined && verifyUntil <= now) return 'gone'
  if (signFrom > now) return 'next'
  const isReplaced = keys.some(
    (other) => other.use === use && other.signFrom > signFrom && other.signFrom <= now
  )
  return isReplaced ? 'retired' : 'active'
}

export interface Rotation {
  readonly now: number
  /** When the new keys start to sign. */
  readonly signFrom: number
  /** Milliseconds a token signed by an old key may still be shown. */
  readonly accessLife: number
  readonly refreshLife: number
}

/** Adds new keys, gives the present ones an end, and drops those that have passed theirs. */
export function rotateKeys(
  path: string,
  { now, signFrom, accessLife, refreshLife }: Rotation
): Promise<readonly KeyRecord[]> {
  return withLock(path, async () => {
    const kept = (await readKeyFile(path))
      .filter(({ verifyUntil }) => verifyUntil === undefined || verifyUntil > now)
      .map((key) => {
        if (key.use === 'user-hash' || key.verifyUntil !== undefined) return key
        return { ...key, verifyUntil: signFrom + (key.use === 'sig' ? accessLife : refreshLife) }
      })
    const rotated = [...kept, newSigningKey(signFrom), newSecret('refresh', signFrom)]
    await replaceFile(path, writeKeys(rotated))
    return rotated
  })
}

/** The keys of a file, for commands; gateways follow it with a KeyRing. */
export async function readKeyFile(path: string): Promise<readonly KeyRecord[]> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw new Error(`${path} cannot be read; "toll start" makes it.`)
  })
  return parseKeyFile(path, text, (await stat(path)).mode)
}

function newSigningKey(signFrom: number): SigningRecord {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x, y, d } = privateKey.export({ format: 'jwk' }) as Required<Pick<JsonWebKey, 'x' | 'y' | 'd'>>
  return { kty: 'EC', crv: 'P-256', x, y, d, kid: newKid(), alg: 'ES256', use: 'sig', signFrom }
}

const newSecret = (use: SecretRecord['use'], signFrom: number): SecretRecord => ({
  kty: 'oct',
  k: randomBytes(32).toString('base64url'),
  kid: newKid(),
  alg: 'HS256',
  use,
  signFrom
})

const newKid = (): string => randomBytes(8).toString('hex')
