import { readFile } from 'node:fs/promises'
import { hashPassword } from './passwords.ts'
import { replaceFile } from './private-file.ts'
import { isUserName, parseUserFile, type UserFile, type UserRecord, writeUserFile } from './user-file.ts'
import { isMissing } from './watched-file.ts'

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
  const file = await readUsers(path)
  if (Object.hasOwn(file.users, name)) {
    throw new Error(`there is a user "${name}" already; "toll user passwd ${name}" changes the password.`)
  }
  const record: UserRecord = {
    password: await hashNew(password),
    ...(scopes.length > 0 && { scopes: [...scopes] }),
    ...(roles.length > 0 && { roles: [...roles] })
  }
  await save(path, { ...file, users: { ...file.users, [name]: record } })
}

export async function changePassword(path: string, name: string, password: string): Promise<void> {
  const { file, record } = await find(path, name)
  const changed = { ...record, password: await hashNew(password) }
  await save(path, { ...file, users: { ...file.users, [name]: changed } })
}

export async function removeUser(path: string, name: string): Promise<void> {
  const { file } = await find(path, name)
  const { [name]: _, ...users } = file.users
  await save(path, { ...file, users })
}

async function find(path: string, name: string): Promise<{ file: UserFile; record: UserRecord }> {
  const file = await readUsers(path)
  const record = Object.hasOwn(file.users, name) ? file.users[name] : undefined
  if (record === undefined) throw new Error(`there is no user "${name}" in ${path}.`)
  return { file, record }
}

async function hashNew(password: string): Promise<string> {
  if (password === '') throw new Error('the password is empty.')
  return hashPassword(password)
}

/** What is written is read the way the gateway reads it first: a name or scope it would refuse never gets into the file. */
async function save(path: string, file: UserFile): Promise<void> {
  const text = writeUserFile(file)
  parseUserFile(path, text)
  await replaceFile(path, text)
}
