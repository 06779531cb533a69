import { createHash, createHmac, hkdfSync } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeysUnavailable } from '../../../errors.ts'
import { createFile } from '../files/private-file.ts'
import { isMissing, readable, WatchedFile } from '../files/watched-file.ts'
import type { VerifyKey } from '../tokens/jwk.ts'
import type { KeyOwner, UserKeys } from '../tokens/user-key.ts'
import { addMaster, newKeys, writeKeys } from './key-file.ts'
import {
  activeOf,
  isUsable,
  type KeyRecord,
  type KeyReport,
  type KeySet,
  type KeyUse,
  parseKeyFile,
  reportOf,
  requireUses
} from './key-record.ts'
import type { NewAlgorithm, SigningKey } from './signing-key.ts'

const pollInterval = 1000
/** Milliseconds between two looks at the file for a kid nobody knows. */
const lookPause = 100
const signing = ['sig', 'refresh'] as const
const uses = [...signing, 'user-hash'] as const

export interface KeyRingOptions {
  readonly now?: () => number
  readonly warn?: (sentence: string) => void
  /** What the signing key of a new file is for. */
  readonly algorithm?: NewAlgorithm
  /** Whether users have keys of their own (`auth.signing`): then there has to be a master secret, and one is made. */
  readonly perUser?: boolean
}

/**
 * The gateway's keys, as their file says at this moment. States follow from absolute times, so gateways agree without a leader:
 * a key is next until `signFrom`, active until a later one signs, retired until `verifyUntil`.
 */
export class KeyRing {
  /** Whether access tokens are signed by keys of their users. */
  readonly isPerUser: boolean
  readonly #file: WatchedFile<KeySet>
  readonly #now: () => number
  readonly #warn: (sentence: string) => void
  readonly #timer: NodeJS.Timeout
  /** Kids that were revoked here or elsewhere, whatever the file says of them. */
  readonly #revoked = new Set<string>()
  #set: KeySet
  #records: ReadonlyMap<string, KeyRecord> = new Map()
  #inForce = ''
  #generation: object = {}
  #onChange: () => void = () => {}
  #looking: Promise<void> | undefined
  #lookedAt = Number.NEGATIVE_INFINITY

  private constructor(
    file: WatchedFile<KeySet>,
    { now = Date.now, warn = () => {}, perUser = false }: KeyRingOptions
  ) {
    this.isPerUser = perUser
    this.#file = file
    this.#now = now
    this.#warn = warn
    this.#set = file.value
    this.#adopt()
    this.#timer = setInterval(() => void this.refresh(), pollInterval).unref()
  }

  /** Reads the key file, or makes it; of several processes that start at once one makes it and all read it. */
  static async open(path: string, options: KeyRingOptions = {}): Promise<KeyRing> {
    const now = options.now ?? Date.now
    const { perUser = false } = options
    const wanted = perUser ? ([...uses, 'per-user'] as const) : uses
    let orRevoked = false
    const parse = (text: string, mode: number): KeySet => {
      const keys = parseKeyFile(path, text, mode)
      requireUses(path, keys.records, wanted, { now: now(), orRevoked })
      // Nobody starts without a key to sign with; but a running gateway has to believe that its last one was revoked.
      orRevoked = true
      return keys
    }
    // Where it cannot be written, what is missing is told below.
    if (perUser) await addMaster(path, now()).catch(() => {})
    try {
      return new KeyRing(await WatchedFile.open(path, parse), options)
    } catch (error) {
      if (!isMissing(error)) throw readable(path, error)
    }
    try {
      await createFile(path, writeKeys(newKeys(now(), options.algorithm, perUser)))
      return new KeyRing(await WatchedFile.open(path, parse), options)
    } catch (error) {
      throw readable(path, error)
    }
  }

  /** Another object whenever other keys are in force: what was verified before has to be verified again. */
  get generation(): object {
    return this.#generation
  }

  /** Whether the file has such a key, in force or not. */
  has(kid: string): boolean {
    return this.#records.has(kid)
  }

  /** The key that verifies tokens with this kid, unless its time is over or it was revoked. */
  find(kid: string): VerifyKey | UserKeys | undefined {
    return this.#usable(kid) && (this.#set.signing.get(kid) ?? this.#set.masters.get(kid))
  }

  /** Whether tokens with this kid are by keys of users. */
  isForUsers(kid: string): boolean {
    return this.#set.masters.has(kid)
  }

  /** The same key in the form that libraries take; for keys of users the owner's. */
  checker(kid: string, owner: KeyOwner | undefined): string | Buffer | undefined {
    if (this.#usable(kid) === undefined) return undefined
    const { signing, masters } = this.#set
    return signing.get(kid)?.checker ?? (owner && masters.get(kid)?.of(owner).secret)
  }

  /** The key that signs tokens now. Throws KeysUnavailable without one. */
  active(): SigningKey {
    return this.#set.signing.get(this.#activeOf('sig').kid)!
  }

  /** A compact JWS (RFC 7515) of these claims by the active key, whatever its algorithm. */
  sign(claims: object, { typ }: { readonly typ: string }): string {
    return compact(this.active(), claims, typ)
  }

  /** The same by the owner's own key. Throws KeysUnavailable without a master secret. */
  signFor(owner: KeyOwner, claims: object, { typ }: { readonly typ: string }): string {
    const { kid } = this.#activeOf('per-user')
    return compact(this.#set.masters.get(kid)!.of(owner), claims, typ)
  }

  /** What a refresh token's last part is: a MAC over everything before, with the key `kid`, or undefined without such a key. */
  refreshMac(kid: string, text: string): Buffer | undefined {
    if (this.#usable(kid)?.use !== 'refresh') return undefined
    return createHmac('sha256', this.#set.secrets.get(kid)!).update(text).digest()
  }

  /** A MAC for anything else, by a key of its own that follows from the refresh key `kid` (HKDF, RFC 5869). */
  derivedMac(purpose: string, kid: string, text: string): Buffer | undefined {
    if (this.#usable(kid)?.use !== 'refresh') return undefined
    const secret = this.#set.secrets.get(kid)!
    const derived = Buffer.from(hkdfSync('sha256', secret, '', `tollkeeper ${purpose}`, 32))
    return createHmac('sha256', derived).update(text).digest()
  }

  activeRefreshKid(): string {
    return this.#activeOf('refresh').kid
  }

  /** Twelve characters that stand for a user in store keys: the same everywhere, and no user name in the store's key space. */
  hashUser(uid: string): string {
    const { kid } = this.#activeOf('user-hash')
    const mac = createHmac('sha256', this.#set.secrets.get(kid)!).update(uid).digest()
    return mac.subarray(0, 9).toString('base64url')
  }

  /** The public keys (RFC 7517 5), those that will sign soon included. A secret has nothing that may be public. */
  jwks(): { readonly body: string; readonly etag: string } {
    const now = this.#now()
    const keys = [...this.#records.values()].flatMap((record) => {
      const { kid, alg, use } = record
      const jwk = isUsable(record, now) ? this.#set.signing.get(kid)?.publicJwk : undefined
      return jwk === undefined ? [] : [{ ...jwk, kid, alg, use }]
    })
    const body = JSON.stringify({ keys })
    return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` }
  }

  /** Every key and what it does now. */
  list(): readonly KeyReport[] {
    const records = [...this.#records.values()]
    return records.map((record) => reportOf(record, records, this.#now()))
  }

  /** Nothing a key has signed holds from here on, in this process. */
  revoke(kid: string): void {
    if (this.#revoked.has(kid)) return
    this.#revoked.add(kid)
    this.#adopt()
  }

  /** Calls back whenever the file has become another. */
  onChange(listener: () => void): void {
    this.#onChange = listener
  }

  /** The keys that the file itself calls revoked. */
  marked(): readonly string[] {
    return this.#set.records.filter(({ revokedAt }) => revokedAt !== undefined).map(({ kid }) => kid)
  }

  /** Looks at the file now instead of at the next poll. Never rejects. */
  async refresh(): Promise<void> {
    const before = this.#file.broken
    await this.#file.refresh()
    const { broken } = this.#file
    if (broken !== undefined && broken.message !== before?.message) this.#warn(broken.message)
    if (this.#file.value !== this.#set || this.#inForce !== this.#kidsInForce()) this.#adopt()
  }

  /**
   * Looks for a key that somebody else has written and signed with already. However many ask, the file is looked at once in a
   * while, and whoever asks in between waits for a look that began after they asked.
   */
  look(): Promise<void> {
    this.#looking ??= this.#lookSoon()
    return this.#looking
  }

  /**
   * Resolves when there are keys to sign with: the successor of a revoked one may have come into the file a moment ago. Rejects
   * with KeysUnavailable when there are none.
   */
  async ready(): Promise<void> {
    const isMissing = signing.some((use) => activeOf(this.#records.values(), use, this.#now()) === undefined)
    if (isMissing) await this.look()
    for (const use of signing) this.#activeOf(use)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #lookSoon(): Promise<void> {
    // Also when there is nothing to wait for: `look` has to have noted this one before it is over.
    await sleep(Math.max(0, this.#lookedAt + lookPause - performance.now()))
    this.#lookedAt = performance.now()
    this.#looking = undefined
    // A poll that is under way may have looked before the file changed; the second look has not.
    await this.refresh()
    await this.refresh()
  }

  /** Takes over what the file says, and what is revoked although the file does not say so. */
  #adopt(): void {
    const isOther = this.#set !== this.#file.value
    this.#set = this.#file.value
    const revokedAt = this.#now()
    this.#records = new Map(
      this.#set.records.map((record) => [
        record.kid,
        this.#revoked.has(record.kid) ? { revokedAt, ...record } : record
      ])
    )
    this.#inForce = this.#kidsInForce()
    this.#generation = {}
    if (isOther) this.#onChange()
  }

  #kidsInForce(): string {
    const now = this.#now()
    return [...this.#records.values()]
      .filter((record) => isUsable(record, now))
      .map(({ kid }) => kid)
      .join(' ')
  }

  #usable(kid: string): KeyRecord | undefined {
    const record = this.#records.get(kid)
    return record !== undefined && isUsable(record, this.#now()) ? record : undefined
  }

  #activeOf(use: KeyUse): KeyRecord {
    const record = activeOf(this.#records.values(), use, this.#now())
    if (record === undefined) throw KeysUnavailable([], { reason: `keys.${use}` })
    return record
  }
}

function compact(
  { kid, alg, sign }: Pick<SigningKey, 'kid' | 'alg' | 'sign'>,
  claims: object,
  typ: string
): string {
  const input = `${encode({ alg, typ, kid })}.${encode(claims)}`
  return `${input}.${sign(input).toString('base64url')}`
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
