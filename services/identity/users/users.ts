import { createHash } from 'node:crypto'
import { UsersUnavailable } from '../../../errors.ts'
import { isMissing, readable, WatchedFile } from '../files/watched-file.ts'
import { Passwords } from './passwords.ts'
import { parseUserFile, type UserRecord } from './user-file.ts'

/** What a user may do, as of now. */
export interface User {
  readonly uid: string
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  /** Changes when the password does: a session that began with another one ends. */
  readonly stamp: string
}

/** Where users come from. */
export interface UserSource {
  /** Undefined for an unknown user and for a wrong password alike, after the same time. */
  verifyCredentials(name: string, password: string): Promise<User | undefined>
  /** Undefined when the user is gone or may not sign in any more. */
  find(uid: string): Promise<User | undefined>
  /** Calls back when a user is gone, may not sign in any more (no stamp), or has another password. */
  onChanged(listener: UserListener): void
  close(): void
}

export type UserListener = (uid: string, stamp: string | undefined) => void

const pollInterval = 1000

interface Account {
  readonly user: User
  readonly password: string
  readonly isDisabled: boolean
}

interface Accounts {
  readonly byName: ReadonlyMap<string, Account>
  readonly byId: ReadonlyMap<string, Account>
}

/** Users in a JSON file that is read again when it has changed. */
export class FileUsers implements UserSource {
  readonly #file: WatchedFile<Accounts>
  readonly #passwords = new Passwords()
  readonly #warn: (sentence: string) => void
  readonly #timer: NodeJS.Timeout
  #warned: string | undefined
  #told: Accounts
  #listener: UserListener | undefined

  private constructor(file: WatchedFile<Accounts>, warn: (sentence: string) => void) {
    this.#file = file
    this.#warn = warn
    this.#told = file.value
    this.#timer = setInterval(() => void this.#refresh(), pollInterval).unref()
  }

  static async open(path: string, warn: (sentence: string) => void): Promise<FileUsers> {
    try {
      const file = await WatchedFile.open(path, (text) => toAccounts(parseUserFile(path, text).users))
      return new FileUsers(file, warn)
    } catch (error) {
      if (!isMissing(error)) throw readable(path, error)
      throw new Error(`${path} is missing; "toll user add NAME" makes it.`)
    }
  }

  async verifyCredentials(name: string, password: string): Promise<User | undefined> {
    await this.#refresh()
    if (this.#file.broken !== undefined) {
      throw UsersUnavailable([], { reason: 'users_file', headers: { 'retry-after': '5' } })
    }
    const account = this.#file.value.byName.get(name.normalize('NFC'))
    const matches = await this.#passwords.matches(password, account?.password)
    return matches && account !== undefined && !account.isDisabled ? account.user : undefined
  }

  async find(uid: string): Promise<User | undefined> {
    await this.#refresh()
    const account = this.#file.value.byId.get(uid)
    return account === undefined || account.isDisabled ? undefined : account.user
  }

  onChanged(listener: UserListener): void {
    this.#listener = listener
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #refresh(): Promise<void> {
    await this.#file.refresh()
    this.#tell()
    const problem = this.#file.broken?.message
    if (problem !== undefined && problem !== this.#warned) this.#warn(problem)
    this.#warned = problem
  }

  /** Compares with what was told last; a file that only got a new user ends nobody's session. */
  #tell(): void {
    const before = this.#told
    const { value } = this.#file
    if (value === before) return
    this.#told = value
    for (const [uid, { user, isDisabled }] of before.byId) {
      if (isDisabled) continue
      const now = value.byId.get(uid)
      const stamp = now === undefined || now.isDisabled ? undefined : now.user.stamp
      if (stamp !== user.stamp) this.#listener?.(uid, stamp)
    }
  }
}

function toAccounts(records: Readonly<Record<string, UserRecord>>): Accounts {
  const byName = new Map<string, Account>()
  const byId = new Map<string, Account>()
  for (const [name, { id = name, password, scopes = [], roles = [], disabled = false }] of Object.entries(
    records
  )) {
    const stamp = createHash('sha256').update(password).digest('base64url').slice(0, 16)
    const user = Object.freeze({ uid: id, scopes, roles, stamp })
    const account = { user, password, isDisabled: disabled }
    byName.set(name, account)
    byId.set(id, account)
  }
  return { byName, byId }
}
