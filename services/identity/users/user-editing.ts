import { access, constants, lstat, readFile } from 'node:fs/promises'
import { replaceFile, withLock } from '../files/private-file.ts'
import { isMissing } from '../files/watched-file.ts'
import { hashPassword } from './passwords.ts'
import { carriedStamp } from './stamp.ts'
import { isUserName, parseUserFile, type UserFile, type UserRecord, writeUserFile } from './user-file.ts'

export interface NewUser {
  readonly password: string
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
}

/** Reads the users of a file; none when it is not there yet. */
export async function readUsers(path: string): Promise<UserFile> {
  try {
    return parseUserFile(path, await readFile(path, 'utf8'))
  } catch (error) {
    if (isMissing(error)) return { users: {} }
    throw error
  }
}

export async function addUser(
  path: string,
  name: string,
  { password, scopes, roles }: NewUser
): Promise<void> {
  if (!isUserName(name)) throw new Error('a user name has 1 to 255 bytes and no control characters.')
  const record: UserRecord = {
    password: await hashNew(password),
    ...(scopes.length > 0 && { scopes: [...scopes] }),
    ...(roles.length > 0 && { roles: [...roles] })
  }
  await edit(path, (users) => {
    if (Object.hasOwn(users, name)) {
      throw new Error(`there is a user "${name}" already; "toll user passwd ${name}" changes the password.`)
    }
    return { ...users, [name]: record }
  })
}

export async function changePassword(path: string, name: string, password: string): Promise<void> {
  const hash = await hashNew(password)
  await edit(path, (users) => {
    const { stamp: _, ...record } = known(path, users, name)
    return { ...users, [name]: { ...record, password: hash } }
  })
}

/**
 * Replaces a hash by another one of the same password, so that nobody's session ends. Does nothing when the password was changed
 * meanwhile, here or by another gateway.
 */
export async function replaceHash(path: string, name: string, before: string, after: string): Promise<void> {
  await edit(path, (users) => {
    const record = Object.hasOwn(users, name) ? users[name] : undefined
    if (record?.password !== before) return undefined
    return { ...users, [name]: { ...record, password: after, stamp: carriedStamp(record, after) } }
  })
}

/**
 * Whether a gateway may replace the file unasked. Replacing gives a file to whoever does it: nothing to do to what belongs to another,
 * is read-only, or lies elsewhere.
 */
export async function isOurs(path: string): Promise<boolean> {
  const [found, mayWrite] = await Promise.all([
    lstat(path),
    access(path, constants.W_OK).then(
      () => true,
      () => false
    )
  ])
  return mayWrite && found.isFile() && found.uid === process.getuid?.()
}

export async function removeUser(path: string, name: string): Promise<void> {
  await edit(path, (users) => {
    known(path, users, name)
    const { [name]: _, ...others } = users
    return others
  })
}

type Users = UserFile['users']

function known(path: string, users: Users, name: string): UserRecord {
  const record = Object.hasOwn(users, name) ? users[name] : undefined
  if (record === undefined) throw new Error(`there is no user "${name}" in ${path}.`)
  return record
}

async function hashNew(password: string): Promise<string> {
  if (password === '') throw new Error('the password is empty.')
  return hashPassword(password)
}

/** What is written is read the way the gateway reads it first: a name or scope it would refuse never gets into the file. No users: no change. */
function edit(path: string, change: (users: Users) => Users | undefined): Promise<void> {
  return withLock(path, async () => {
    const file = await readUsers(path)
    const users = change(file.users)
    if (users === undefined) return
    const text = writeUserFile({ ...file, users })
    parseUserFile(path, text)
    await replaceFile(path, text)
  })
}
