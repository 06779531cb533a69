import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject
} from 'node:crypto'
import { createFile } from '../files/private-file.ts'
import { isMissing, readable, WatchedFile } from '../files/watched-file.ts'
import { importJwk, type VerifyKey } from '../tokens/jwk.ts'
import { type KeyRecord, newKeys, parseKeyFile, type SigningRecord, writeKeys } from './key-file.ts'

export interface SigningKey extends VerifyKey {
  readonly kid: string
  readonly privatePem: string
  readonly publicPem: string
}

interface Timed<Key> {
  readonly key: Key
  readonly signFrom: number
  readonly verifyUntil: number
}

interface Ring {
  readonly signing: ReadonlyMap<string, Timed<SigningKey>>
  readonly refresh: ReadonlyMap<string, Timed<{ readonly kid: string; readonly secret: KeyObject }>>
  readonly userHash: KeyObject
  readonly records: readonly SigningRecord[]
}

const pollInterval = 1000

/**
 * The gateway's keys, as their file says at this moment. States follow from absolute times, so gateways agree without a leader:
 * a key is next until `signFrom`, active until a later one signs, retired until `verifyUntil`.
 */
export class KeyRing {
  readonly #file: WatchedFile<Ring>
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout

  private constructor(file: WatchedFile<Ring>, now: () => number, warn: (sentence: string) => void) {
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
  static async open(path: string, now: () => number, warn: (sentence: string) => void): Promise<KeyRing> {
    const parse = (text: string, mode: number): Ring => toRing(parseKeyFile(path, text, mode))
    try {
      return new KeyRing(await WatchedFile.open(path, parse), now, warn)
    } catch (error) {
      if (!isMissing(error)) throw readable(path, error)
    }
    try {
      await createFile(path, writeKeys(newKeys(now())))
      return new KeyRing(await WatchedFile.open(path, parse), now, warn)
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
    return inForce(this.#file.value.signing.get(kid), this.#now())
  }

  /** The same key for libraries that want PEM. */
  publicPem(kid: string): string | undefined {
    return inForce(this.#file.value.signing.get(kid), this.#now())?.publicPem
  }

  /** The key that signs access tokens now. */
  active(): SigningKey {
    return newest(this.#file.value.signing, this.#now())
  }

  /** What a refresh token's last part is: a MAC over everything before, with the key `kid`, or undefined without such a key. */
  refreshMac(kid: string, text: string): Buffer | undefined {
    const key = inForce(this.#file.value.refresh.get(kid), this.#now())
    return key && createHmac('sha256', key.secret).update(text).digest()
  }

  activeRefreshKid(): string {
    return newest(this.#file.value.refresh, this.#now()).kid
  }

  /** Twelve characters that stand for a user in store keys: the same everywhere, and no user name in the store's key space. */
  hashUser(uid: string): string {
    return createHmac('sha256', this.#file.value.userHash)
      .update(uid)
      .digest()
      .subarray(0, 9)
      .toString('base64url')
  }

  /** The public keys (RFC 7517 5), those that will sign soon included. */
  jwks(): { readonly body: string; readonly etag: string } {
    const now = this.#now()
    const keys = this.#file.value.records
      .filter(({ verifyUntil = Number.POSITIVE_INFINITY }) => verifyUntil > now)
      .map(({ kty, crv, x, y, kid, alg, use }) => ({ kty, crv, x, y, kid, alg, use }))
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
}

function toRing(records: readonly KeyRecord[]): Ring {
  const signing = new Map<string, Timed<SigningKey>>()
  const refresh = new Map<string, Timed<{ readonly kid: string; readonly secret: KeyObject }>>()
  let userHash: KeyObject | undefined
  const signers: SigningRecord[] = []
  for (const record of records) {
    const { kid, signFrom, verifyUntil = Number.POSITIVE_INFINITY } = record
    const timed = { signFrom, verifyUntil }
    if (record.use === 'sig') {
      signers.push(record)
      signing.set(kid, { key: signingKey(record), ...timed })
      continue
    }
    const secret = createSecretKey(Buffer.from(record.k, 'base64url'))
    if (record.use === 'refresh') refresh.set(kid, { key: { kid, secret }, ...timed })
    else userHash ??= secret
  }
  return { signing, refresh, userHash: userHash!, records: signers }
}

function signingKey({ kty, crv, x, y, d, kid, alg }: SigningRecord): SigningKey {
  const verifier = importJwk({ kty, crv, x, y, kid, alg })
  const privateKey = createPrivateKey({ key: { kty, crv, x, y, d }, format: 'jwk' })
  return {
    kid,
    alg,
    verify: verifier.verify,
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicPem: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }) as string
  }
}

function inForce<Key>(timed: Timed<Key> | undefined, now: number): Key | undefined {
  return timed !== undefined && now < timed.verifyUntil ? timed.key : undefined
}

function newest<Key>(keys: ReadonlyMap<string, Timed<Key>>, now: number): Key {
  let found: Timed<Key> | undefined
  let first: Timed<Key> | undefined
  for (const timed of keys.values()) {
    if (first === undefined || timed.signFrom < first.signFrom) first = timed
    if (timed.signFrom <= now && (found === undefined || timed.signFrom >= found.signFrom)) found = timed
  }
  return (found ?? first!).key
}
