import { createHash, createHmac, hkdfSync } from 'node:crypto'
import { KeysUnavailable } from '../../../errors.ts'
import { createFile } from '../files/private-file.ts'
import { isMissing, readable, WatchedFile } from '../files/watched-file.ts'
import type { VerifyKey } from '../tokens/jwk.ts'
import { newKeys, writeKeys } from './key-file.ts'
import {
  activeOf,
  isUsable,
  type KeyRecord,
  type KeySet,
  type KeyUse,
  parseKeyFile,
  requireUses
} from './key-record.ts'
import type { NewAlgorithm, SigningKey } from './signing-key.ts'

const pollInterval = 1000
const uses = ['sig', 'refresh', 'user-hash'] as const

export interface KeyRingOptions {
  readonly now?: () => number
  readonly warn?: (sentence: string) => void
  /** What the signing key of a new file is for. */
  readonly algorithm?: NewAlgorithm
}

/**
 * The gateway's keys, as their file says at this moment. States follow from absolute times, so gateways agree without a leader:
 * a key is next until `signFrom`, active until a later one signs, retired until `verifyUntil`.
 */
export class KeyRing {
  readonly #file: WatchedFile<KeySet>
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout

  private constructor(file: WatchedFile<KeySet>, { now = Date.now, warn = () => {} }: KeyRingOptions) {
    this.#file = file
    this.#now = now
    this.#timer = setInterval(() => {
      const before = file.broken
      void file.refresh().then(() => {
        if (file.broken !== undefined && file.broken.message !== before?.message) warn(file.broken.message)
      })
    }, pollInterval).unref()
  }

  /** Reads the key file, or makes it; of several processes that start at once one makes it and all read it. */
  static async open(path: string, options: KeyRingOptions = {}): Promise<KeyRing> {
    const now = options.now ?? Date.now
    const parse = (text: string, mode: number): KeySet => {
      const keys = parseKeyFile(path, text, mode)
      requireUses(path, keys.records, uses, now())
      return keys
    }
    try {
      return new KeyRing(await WatchedFile.open(path, parse), options)
    } catch (error) {
      if (!isMissing(error)) throw readable(path, error)
    }
    try {
      await createFile(path, writeKeys(newKeys(now(), options.algorithm)))
      return new KeyRing(await WatchedFile.open(path, parse), options)
    } catch (error) {
      throw readable(path, error)
    }
  }

  /** Another object whenever the keys are others: what was verified with older ones has to be verified again. */
  get generation(): object {
    return this.#file.value
  }

  /** The key that verifies tokens with this kid, unless its time is over. */
  find(kid: string): VerifyKey | undefined {
    return this.#signing(kid)
  }

  /** The same key in the form that libraries take. */
  checker(kid: string): string | Buffer | undefined {
    return this.#signing(kid)?.checker
  }

  /** The key that signs tokens now. Throws KeysUnavailable without one. */
  active(): SigningKey {
    return this.#file.value.signing.get(this.#activeOf('sig').kid)!
  }

  /** A compact JWS (RFC 7515) of these claims by the active key, whatever its algorithm. */
  sign(claims: object, { typ }: { readonly typ: string }): string {
    const key = this.active()
    const header = encode({ alg: key.alg, typ, kid: key.kid })
    const input = `${header}.${encode(claims)}`
    return `${input}.${key.sign(input).toString('base64url')}`
  }

  /** What a refresh token's last part is: a MAC over everything before, with the key `kid`, or undefined without such a key. */
  refreshMac(kid: string, text: string): Buffer | undefined {
    if (this.#usable(kid)?.use !== 'refresh') return undefined
    return createHmac('sha256', this.#file.value.secrets.get(kid)!).update(text).digest()
  }

  /** A MAC for anything else, by a key of its own that follows from the refresh key `kid` (HKDF, RFC 5869). */
  derivedMac(purpose: string, kid: string, text: string): Buffer | undefined {
    if (this.#usable(kid)?.use !== 'refresh') return undefined
    const secret = this.#file.value.secrets.get(kid)!
    const derived = Buffer.from(hkdfSync('sha256', secret, '', `tollkeeper ${purpose}`, 32))
    return createHmac('sha256', derived).update(text).digest()
  }

  activeRefreshKid(): string {
    return this.#activeOf('refresh').kid
  }

  /** Twelve characters that stand for a user in store keys: the same everywhere, and no user name in the store's key space. */
  hashUser(uid: string): string {
    const { kid } = this.#activeOf('user-hash')
    const mac = createHmac('sha256', this.#file.value.secrets.get(kid)!).update(uid).digest()
    return mac.subarray(0, 9).toString('base64url')
  }

  /** The public keys (RFC 7517 5), those that will sign soon included. A secret has nothing that may be public. */
  jwks(): { readonly body: string; readonly etag: string } {
    const now = this.#now()
    const { records, signing } = this.#file.value
    const keys = records.flatMap((record) => {
      const { kid, alg, use } = record
      const jwk = isUsable(record, now) ? signing.get(kid)?.publicJwk : undefined
      return jwk === undefined ? [] : [{ ...jwk, kid, alg, use }]
    })
    const body = JSON.stringify({ keys })
    return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` }
  }

  /** Looks at the file now instead of at the next poll. */
  refresh(): Promise<void> {
    return this.#file.refresh()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #signing(kid: string): SigningKey | undefined {
    return this.#usable(kid) && this.#file.value.signing.get(kid)
  }

  #usable(kid: string): KeyRecord | undefined {
    const record = this.#file.value.byKid.get(kid)
    return record !== undefined && isUsable(record, this.#now()) ? record : undefined
  }

  #activeOf(use: KeyUse): KeyRecord {
    const record = activeOf(this.#file.value.records, use, this.#now())
    if (record === undefined) throw KeysUnavailable([], { reason: `keys.${use}` })
    return record
  }
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
