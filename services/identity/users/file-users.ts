import { UsersUnavailable } from '../../../errors.ts'
import { isMissing, readable, WatchedFile } from '../files/watched-file.ts'
import { decoyOf, Passwords } from './passwords.ts'
import type { Asker, User, UserListener, UserSource } from './source.ts'
import { stampOf } from './stamp.ts'
import { isOurs, replaceHash } from './user-editing.ts'
import { parseUserFile, type UserRecord } from './user-file.ts'

const pollInterval = 1000

interface Account {
  readonly name: string
  readonly user: User
  readonly password: string
  readonly isDisabled: boolean
}

interface Accounts {
  readonly byName: ReadonlyMap<string, Account>
  readonly byId: ReadonlyMap<string, Account>
  readonly decoy: string
}

/** Users in a JSON file that is read again when it has changed. */
export class FileUsers implements UserSource {
  readonly isRemote = false
  readonly #path: string
  readonly #file: WatchedFile<Accounts>
  readonly #passwords: Passwords
  readonly #warn: (sentence: string) => void
  readonly #timer: NodeJS.Timeout
  #warned: string | undefined
  #told: Accounts
  #listener: UserListener | undefined
  /** Names whose passwords are hashed anew at the moment. */
  readonly #renewing = new Map<string, Promise<void>>()

  private constructor(
    path: string,
    file: WatchedFile<Accounts>,
    passwords: Passwords,
    warn: (sentence: string) => void
  ) {
    this.#path = path
    this.#file = file
    this.#passwords = passwords
    this.#warn = warn
    this.#told = file.value
    this.#timer = setInterval(() => void this.#refresh(), pollInterval).unref()
  }

  static async open(path: string, warn: (sentence: string) => void): Promise<FileUsers> {
    const passwords = await Passwords.open(warn)
    const parse = (text: string): Accounts => {
      const { users } = parseUserFile(path, text)
      // Found out now, for everybody: at sign-in it would tell who has an account.
      if (Object.values(users).some(({ password }) => !passwords.canVerify(password))) {
        throw new Error(
          `${path} has argon2id passwords, for which the package @node-rs/argon2 is needed; install it for this machine.`
        )
      }
      return toAccounts(users)
    }
    try {
      return new FileUsers(path, await WatchedFile.open(path, parse), passwords, warn)
    } catch (error) {
      if (!isMissing(error)) throw readable(path, error)
      throw new Error(`${path} is missing; "toll user add NAME" makes it.`)
    }
  }

  async verifyCredentials(name: string, password: string, { isGone }: Asker = {}): Promise<User | undefined> {
    await this.#refresh()
    if (this.#file.broken !== undefined) {
      throw UsersUnavailable([], { reason: 'users_file', headers: { 'retry-after': '5' } })
    }
    const { byName, decoy } = this.#file.value
    const account = byName.get(name.normalize('NFC'))
    const matches = await this.#passwords.matches(password, account?.password, { decoy, isGone })
    if (!matches || account === undefined || account.isDisabled) return undefined
    if (this.#passwords.isOutdated(account.password)) this.#renew(account, password)
    return account.user
  }

  async find(uid: string): Promise<User | undefined> {
    await this.#refresh()
    const account = this.#file.value.byId.get(uid)
    return account === undefined || account.isDisabled ? undefined : account.user
  }

  onChanged(listener: UserListener): void {
    this.#listener = listener
  }

  names(): Iterable<string> {
    return this.#file.value.byName.keys()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#renewing.values())
  }

  /** Hashes a password anew, beside the sign-in that showed it. What does not work now is tried again at the next one. */
  #renew({ name, password: before }: Account, password: string): void {
    if (this.#renewing.has(name)) return
    const renew = async () => {
      if (!(await isOurs(this.#path))) return
      const after = await this.#passwords.renew(password)
      if (after !== undefined) await replaceHash(this.#path, name, before, after)
    }
    const renewal = renew()
      .catch(() => {})
      .finally(() => this.#renewing.delete(name))
    this.#renewing.set(name, renewal)
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
  for (const [name, record] of Object.entries(records)) {
    const { id = name, password, scopes = [], roles = [], disabled = false } = record
    const user = Object.freeze({ uid: id, scopes, roles, stamp: stampOf(record) })
    const account = { name, user, password, isDisabled: disabled }
    byName.set(name, account)
    byId.set(id, account)
  }
  return { byName, byId, decoy: decoyOf(Object.values(records).map(({ password }) => password)) }
}
