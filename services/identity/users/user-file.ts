import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { readPhc } from './phc.ts'

export const scopeToken = '^[\\x21\\x23-\\x5B\\x5D-\\x7E]{1,128}$'

const UserRecord = Type.Object(
  {
    id: Type.Optional(
      Type.String({
        description: 'The `sub` of the tokens; the name when left out.',
        minLength: 1,
        maxLength: 255
      })
    ),
    password: Type.String({ description: 'argon2id or scrypt in PHC form.', maxLength: 512 }),
    stamp: Type.Optional(
      Type.String({
        description:
          'Written when a password is hashed anew: the stamp its sessions began with, and the hash that took it over.',
        pattern: '^[A-Za-z0-9_-]{16}\\.[A-Za-z0-9_-]{16}$'
      })
    ),
    scopes: Type.Optional(Type.Array(Type.String({ pattern: scopeToken }), { maxItems: 256 })),
    roles: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 256 })),
    disabled: Type.Optional(Type.Boolean({ description: 'May not sign in.' }))
  },
  { additionalProperties: false }
)
const UserFile = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    users: Type.Record(Type.String({ minLength: 1, maxLength: 255 }), UserRecord)
  },
  { additionalProperties: false }
)

export type UserRecord = Static<typeof UserRecord>
export type UserFile = Static<typeof UserFile>

/** A user name is 1 to 255 bytes without control characters, in NFC as it is compared. */
export const isUserName = (name: string): boolean =>
  name !== '' && Buffer.byteLength(name) <= 255 && !/\p{Cc}/u.test(name) && name === name.normalize('NFC')

/** Reads a users file's text. The sentences it throws name the place and never a hash. */
export function parseUserFile(name: string, text: string): UserFile {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    throw new Error(`${name} is not a users file: it is not valid JSON.`)
  }
  if (!Value.Check(UserFile, raw)) {
    const at = Value.Errors(UserFile, raw).First()?.path || '/'
    throw new Error(`${name} is not a users file: the value at ${at} is not what belongs there.`)
  }
  const ids = new Set<string>()
  for (const [user, { id = user, password }] of Object.entries(raw.users)) {
    if (!isUserName(user))
      throw new Error(`${name} has a user name that cannot be typed: ${JSON.stringify(user)}.`)
    if (readPhc(password) === undefined) {
      const at = `/users/${user.replaceAll('~', '~0').replaceAll('/', '~1')}/password`
      throw new Error(
        `${name} is not a users file: the value at ${at} is no stored password of a form and cost the gateway takes.`
      )
    }
    if (ids.has(id)) throw new Error(`${name} has two users with the id ${JSON.stringify(id)}.`)
    ids.add(id)
  }
  return raw
}

export const writeUserFile = (file: UserFile): string => `${JSON.stringify(file, null, 2)}\n`
