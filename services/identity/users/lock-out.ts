import { toMilliseconds } from '../../../config/units.ts'
import { TooManyAttempts } from '../../../errors.ts'
import { networkOf } from '../../limits/subject.ts'
import type { Store } from '../../store/store.ts'
import { type Device, type DeviceKeys, newDevice, readDevice, writeDevice } from './device.ts'
import type { LockOutOptions } from './lock-out-slice.ts'
import { counterPrefix, listLocks, lockIndex, type Mode, type Tallied, tally, unlock } from './tally.ts'

const kinds = { p: 'pair', d: 'device', u: 'user', a: 'address' } as const
type Kind = (typeof kinds)[keyof typeof kinds]

/** Something that is refused at the moment. */
export interface Lock {
  readonly kind: Kind
  readonly userHash: string | undefined
  readonly address: string | undefined
  /** Milliseconds since the epoch by the store's clock. */
  readonly until: number
}

interface Counted {
  readonly name: string
  readonly limit: number
}

export interface LockOutParts {
  readonly store: Store
  readonly keys: DeviceKeys & { hashUser(uid: string): string }
  readonly now: () => number
  readonly warn: (sentence: string) => void
}

const maxListed = 1000

/** Keeps those who guess passwords waiting, by user, address and both, the same over all gateways. */
export class LockOut {
  readonly #options: LockOutOptions
  readonly #parts: LockOutParts
  /** Milliseconds. */
  readonly #deviceLife: number
  readonly #ladder: readonly number[]

  constructor(options: LockOutOptions, parts: LockOutParts) {
    const { first, longest, window, device } = options
    this.#options = options
    this.#parts = parts
    this.#deviceLife = toMilliseconds(device)
    this.#ladder = [first, longest, window].map(toMilliseconds)
  }

  /** Begins an attempt to sign in; rejects with 429 where there were too many, whether there is such a user or not. */
  async begin(name: string, { address, device }: { address: string; device?: string | undefined }) {
    const { keys, now } = this.#parts
    const userHash = this.#hash(name)
    const owner = this.#ownerHash(name)
    const known =
      device === undefined || this.#deviceLife === 0 ? undefined : readDevice(device, owner, keys, now())
    const attempt = new Attempt(this.#counters(userHash, networkOf(address), known), (mode, counted) =>
      this.#tally(mode, counted)
    )
    await attempt.look()
    return {
      /** Why, for the log; rejects with 429 when it was locked meanwhile. */
      failed: () => this.#failed(attempt, userHash),
      /** What the device shows next time, if it needs something new; rejects with 429 when it was locked meanwhile. */
      passed: async () => {
        await attempt.end('passed')
        return this.#renewed(known, owner)
      }
    }
  }

  async list(names: Iterable<string>): Promise<readonly (Lock & { readonly user: string | undefined })[]> {
    const found = await this.#parts.store.run(listLocks, [lockIndex], [maxListed])
    const locks = found.map(([name, until]) => toLock(name, until))
    if (locks.length === 0) return []
    const named = new Map([...names].map((name) => [this.#hash(name), name]))
    return locks.map((lock) => ({ ...lock, user: lock.userHash && named.get(lock.userHash) }))
  }

  /** Lets a user sign in again from everywhere; how many locks that lifted. */
  unlock(name: string): Promise<number> {
    return this.#parts.store.run(unlock, [lockIndex], [counterPrefix, this.#hash(name)])
  }

  async #failed(attempt: Attempt, userHash: string): Promise<'credentials' | 'credentials.locked'> {
    const locked = await attempt.end('failed')
    if (locked.length === 0) return 'credentials'
    this.#parts.warn(`Too many wrong passwords: locked by ${locked.join(' and ')}, user ${userHash}.`)
    return 'credentials.locked'
  }

  #tally(mode: Mode, counted: readonly Counted[]): Promise<Tallied> {
    return this.#parts.store.run(
      tally,
      [lockIndex, ...counted.map(({ name }) => counterPrefix + name)],
      [mode, ...this.#ladder, ...counted.flatMap(({ name, limit }) => [name, limit])]
    )
  }

  /** A known device has a count of its own, so that neither its user's other callers nor its neighbours lock it out. */
  #counters(userHash: string, network: string, known: Device | undefined): readonly Counted[] {
    const { failures, perUser, perAddress } = this.#options
    const theirs =
      known === undefined
        ? [
            { name: `p:${userHash}:${network}`, limit: failures },
            { name: `u:${userHash}`, limit: perUser }
          ]
        : [{ name: `d:${userHash}:${known.id}`, limit: failures }]
    return [...theirs, { name: `a:${network}`, limit: perAddress }].filter(({ limit }) => limit > 0)
  }

  #renewed(known: Device | undefined, owner: string): string | undefined {
    const { keys, now } = this.#parts
    if (this.#deviceLife === 0) return undefined
    const isYoung = known !== undefined && known.expiresAt * 1000 - now() > this.#deviceLife / 2
    if (isYoung) return undefined
    const expiresAt = Math.floor((now() + this.#deviceLife) / 1000)
    return writeDevice(known === undefined ? newDevice(owner, expiresAt) : { ...known, expiresAt }, keys)
  }

  /** Names that some users service may take for the same are counted as one. */
  #hash(name: string): string {
    return this.#parts.keys.hashUser(`sign-in ${folded(name)}`)
  }

  /** A device is known by the name as it was typed: "alice" may be somebody else than "Alice", and must not guess as a device of hers. */
  #ownerHash(name: string): string {
    return this.#parts.keys.hashUser(`device ${name.normalize('NFC')}`)
  }
}

/** Without what databases may not tell apart: forms, case, accents, blanks, and characters that are not seen. */
const folded = (name: string): string =>
  name
    .normalize('NFKD')
    .replace(/[\u0300-\u036f\s\p{Cc}\p{DI}]/gu, '')
    .toLowerCase()
    .toUpperCase()

/** One attempt to sign in and the counters it is about. */
class Attempt {
  readonly #counted: readonly Counted[]
  readonly #tally: (mode: Mode, counted: readonly Counted[]) => Promise<Tallied>

  constructor(
    counted: readonly Counted[],
    run: (mode: Mode, counted: readonly Counted[]) => Promise<Tallied>
  ) {
    this.#counted = counted
    this.#tally = run
  }

  look(): Promise<readonly Kind[]> {
    return this.end('look')
  }

  /** The kinds of counters this has locked; rejects with 429 when one was locked before. */
  async end(mode: Mode): Promise<readonly Kind[]> {
    if (this.#counted.length === 0) return []
    const { wait, locked } = await this.#tally(mode, this.#counted)
    const found = locked.map((at) => kindOf(this.#counted[at]!.name))
    if (wait === 0) return found
    const seconds = String(Math.ceil(wait / 1000))
    throw TooManyAttempts([seconds], { reason: `locked.${found[0]}`, headers: { 'retry-after': seconds } })
  }
}

const kindOf = (name: string): Kind => kinds[name[0] as keyof typeof kinds]

function toLock(name: string, until: number): Lock {
  const kind = kindOf(name)
  const [, first, ...rest] = name.split(':')
  const address = kind === 'address' ? [first, ...rest] : kind === 'pair' ? rest : []
  return {
    kind,
    userHash: kind === 'address' ? undefined : first,
    address: address.length === 0 ? undefined : address.join(':'),
    until
  }
}
