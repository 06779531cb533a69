import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { toMilliseconds } from '../../../config/units.ts'
import { passwordBytes } from './passwords.ts'
import type { HttpUsersOptions } from './slice.ts'
import type { Asker, User, UserSource } from './source.ts'
import { scopeToken } from './user-file.ts'
import { UsersService, unavailable } from './users-service.ts'

const maxRemembered = 10_000
/** NUL and halves of characters: many databases and hashes fail on them, and a client could have the service paused for everybody. */
const isUntypable = /[\0\p{Cs}]/u

/** What a users service answers: who it is, and what they may do. Anything else it says is a mistake nobody should have to guess. */
const Answer = Type.Object(
  {
    uid: Type.String({ minLength: 1, maxLength: 255 }),
    scopes: Type.Optional(Type.Array(Type.String({ pattern: scopeToken }), { maxItems: 256 })),
    roles: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 256 })),
    mustChange: Type.Optional(Type.Boolean()),
    stamp: Type.Optional(Type.String({ maxLength: 255 }))
  },
  { additionalProperties: false }
)

/** Users of a service that is asked over HTTP at every sign-in and, a short memory aside, at every refresh. */
export class HttpUsers implements UserSource {
  readonly isRemote = true
  readonly #service: UsersService
  readonly #keep: number
  /** What `/lookup` said a moment ago, the oldest first. */
  readonly #remembered = new Map<string, { readonly user: User; readonly until: number }>()
  readonly #asking = new Map<string, Promise<User | undefined>>()

  constructor(options: HttpUsersOptions) {
    this.#service = new UsersService(options)
    this.#keep = toMilliseconds(options.cache)
  }

  async verifyCredentials(
    name: string,
    password: string,
    { address, agent, client, isGone }: Asker = {}
  ): Promise<User | undefined> {
    // No service need look at a text that is longer than any password, or that nobody can have typed.
    if (passwordBytes(password) === undefined) return undefined
    if (isUntypable.test(name) || isUntypable.test(password)) return undefined
    const question = {
      username: name.normalize('NFC'),
      password: password.normalize('NFC'),
      client,
      address,
      agent
    }
    const answer = await this.#service.ask('/verify', question, [401, 404], isGone)
    return answer && toUser(answer)
  }

  async find(uid: string, stamp?: string): Promise<User | undefined> {
    const known = this.#remembered.get(uid)
    if (known !== undefined && known.until > performance.now()) {
      if (stamp === undefined || known.user.stamp === stamp) return known.user
    }
    let asking = this.#asking.get(uid)
    if (asking === undefined) {
      asking = this.#lookUp(uid).finally(() => this.#asking.delete(uid))
      this.#asking.set(uid, asking)
    }
    return asking
  }

  /** Nobody tells: a user who changed is found out at the next refresh. */
  onChanged(): void {}

  close(): void {
    this.#remembered.clear()
  }

  async #lookUp(uid: string): Promise<User | undefined> {
    const answer = await this.#service.ask('/lookup', { uid }, [404])
    const user = answer && toUser(answer)
    if (user !== undefined && user.uid !== uid) throw unavailable('users_answer')
    this.#remembered.delete(uid)
    if (user === undefined || user.mustChange) return undefined
    this.#remembered.set(uid, { user, until: performance.now() + this.#keep })
    if (this.#remembered.size > maxRemembered) {
      this.#remembered.delete(this.#remembered.keys().next().value!)
    }
    return user
  }
}

function toUser(answer: unknown): User {
  if (!Value.Check(Answer, answer)) throw unavailable('users_answer')
  const { uid, scopes = [], roles = [], stamp = '', mustChange = false }: Static<typeof Answer> = answer
  // In UTF-8 all halves of characters are the same one, and so would be the users.
  if (/\p{Cs}/u.test(uid)) throw unavailable('users_answer')
  return Object.freeze({ uid, scopes, roles, stamp, mustChange })
}
