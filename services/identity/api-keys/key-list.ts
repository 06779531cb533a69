import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'

const time = (description: string) =>
  Type.String({
    description,
    pattern: '^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z$'
  })

const ApiKeyRecord = Type.Object(
  {
    id: Type.String({ description: 'The part of the key that finds it.', pattern: '^[0-9A-Za-z]{10}$' }),
    hash: Type.String({
      description: 'SHA-256 of the secret part, in base64url.',
      pattern: '^[A-Za-z0-9_-]{43}$'
    }),
    owner: Type.String({ description: 'Whom requests come from.', minLength: 1, maxLength: 255 }),
    scopes: Type.Array(Type.String({ pattern: '^[\\x21\\x23-\\x5B\\x5D-\\x7E]{1,128}$' }), {
      description: 'What it may be used for.',
      maxItems: 256
    }),
    roles: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { description: 'Claim.', maxItems: 256 })
    ),
    created: time('When it was made.'),
    notBefore: Type.Optional(time('From when on it is good.')),
    expires: Type.Optional(time('From when on it is not.')),
    disabled: Type.Optional(Type.Boolean({ description: 'Is refused for now.' })),
    note: Type.Optional(Type.String({ description: 'For people.', maxLength: 256 }))
  },
  { additionalProperties: false }
)
const ApiKeyList = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    keys: Type.Array(ApiKeyRecord, { maxItems: 100_000 })
  },
  { additionalProperties: false }
)
/** Compiled, since thousands of keys are checked between two requests. */
const listCheck = TypeCompiler.Compile(ApiKeyList)

export type ApiKeyRecord = Static<typeof ApiKeyRecord>

/** Reads the text of a file of API keys. The sentences it throws name the place and never a hash. */
export function parseKeyList(name: string, text: string, mode: number): readonly ApiKeyRecord[] {
  if ((mode & 0o007) !== 0) {
    throw new Error(
      `${name} says who may use the gateway and is open to anybody on this machine; run chmod o= on it.`
    )
  }
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    throw new Error(`${name} is not a file of API keys: it is not valid JSON.`)
  }
  if (!listCheck.Check(raw)) {
    const at = listCheck.Errors(raw).First()?.path || '/'
    throw new Error(`${name} is not a file of API keys: the value at ${at} is not what belongs there.`)
  }
  const ids = new Set<string>()
  for (const [index, record] of raw.keys.entries()) {
    for (const field of ['created', 'notBefore', 'expires'] as const) {
      const value = record[field]
      if (value === undefined || !Number.isNaN(Date.parse(value))) continue
      throw new Error(
        `${name} is not a file of API keys: there is no such time as /keys/${index}/${field} says.`
      )
    }
    if (ids.has(record.id)) throw new Error(`${name} has two keys with the id "${record.id}".`)
    ids.add(record.id)
  }
  return raw.keys
}

export const writeKeyList = (keys: readonly ApiKeyRecord[]): string =>
  `${JSON.stringify({ keys }, null, 2)}\n`

/** What a key is good for at a time. */
export function stateOf(
  { disabled, notBefore, expires }: Pick<ApiKeyRecord, 'disabled' | 'notBefore' | 'expires'>,
  now: number
): 'active' | 'disabled' | 'not yet' | 'expired' {
  if (disabled === true) return 'disabled'
  if (notBefore !== undefined && now < Date.parse(notBefore)) return 'not yet'
  return expires !== undefined && now >= Date.parse(expires) ? 'expired' : 'active'
}
