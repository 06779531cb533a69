import { timingSafeEqual } from 'node:crypto'
import { isMissing, readable, WatchedFile } from '../files/watched-file.ts'
import { HolderNotes } from '../holder-notes.ts'
import type { OpenExchanges } from '../open-exchanges.ts'
import type { Holder } from '../parts.ts'
import { type ApiKeyRecord, parseKeyList } from './key-list.ts'
import { hashSecret, readKeyText } from './key-text.ts'

/** Why an API key does not let a request pass. */
export type ApiKeyRefusal =
  | 'apikey.malformed'
  | 'apikey.checksum'
  | 'apikey.unknown'
  | 'apikey.secret'
  | 'apikey.disabled'
  | 'apikey.nbf'
  | 'apikey.exp'

const pollInterval = 1000

interface ApiKey {
  readonly hash: Buffer
  readonly holder: Holder
  readonly isDisabled: boolean
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly expires: number
}

type Keys = ReadonlyMap<string, ApiKey>

/** The API keys of a file, which is looked at every second: what it says is what holds, and nothing else is remembered. */
export class ApiKeys {
  readonly #file: WatchedFile<Keys>
  readonly #now: () => number
  readonly #warn: (sentence: string) => void
  readonly #timer: NodeJS.Timeout
  readonly #listeners = new Set<() => void>()
  #warned: string | undefined

  private constructor(file: WatchedFile<Keys>, now: () => number, warn: (sentence: string) => void) {
    this.#file = file
    this.#now = now
    this.#warn = warn
    this.#timer = setInterval(() => void this.refresh(), pollInterval).unref()
  }

  static async open(path: string, now: () => number, warn: (sentence: string) => void): Promise<ApiKeys> {
    try {
      const file = await WatchedFile.open(path, (text, mode) => toKeys(parseKeyList(path, text, mode)))
      return new ApiKeys(file, now, warn)
    } catch (error) {
      if (!isMissing(error)) throw readable(path, error)
      throw new Error(`${path} is missing; "toll apikey add OWNER" makes it.`)
    }
  }

  /** Whom a key stands for now. An unknown id takes as long as a wrong secret: which ids there are is not to be heard. */
  check(text: string): Holder | ApiKeyRefusal {
    const parts = readKeyText(text)
    if (typeof parts === 'string') return parts
    const key = this.#file.value.get(parts.id)
    const isRight = timingSafeEqual(hashSecret(parts.secret), key?.hash ?? decoy)
    if (key === undefined) return 'apikey.unknown'
    if (!isRight) return 'apikey.secret'
    return this.#void(key) ?? key.holder
  }

  /** Ends what was opened with a key that the file does not let pass any more; the returned function stops that. */
  endIn(open: OpenExchanges): () => void {
    return open.watch({
      find: ({ key: id }) => {
        if (id === undefined) return undefined
        const key = this.#file.value.get(id)
        return key === undefined ? 'apikey.unknown' : this.#void(key)
      },
      onRevoked: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      }
    })
  }

  /** What is known of the key that a text names, for whoever runs the gateway: never a hash. */
  describe(text: string): Readonly<Record<string, unknown>> {
    const parts = readKeyText(text)
    if (typeof parts === 'string') return { length: text.length }
    const key = this.#file.value.get(parts.id)
    const at = (time: number): string | undefined =>
      Number.isFinite(time) && time > 0 ? new Date(time).toISOString() : undefined
    return {
      key: parts.id,
      known: key !== undefined,
      owner: key?.holder.subject,
      disabled: key?.isDisabled,
      notBefore: key && at(key.notBefore),
      expires: key && at(key.expires),
      now: at(this.#now())
    }
  }

  /** Looks at the file now; never rejects. A broken one changes nothing, and is told once. */
  async refresh(): Promise<void> {
    const before = this.#file.value
    await this.#file.refresh()
    if (this.#file.value !== before) for (const listener of this.#listeners) listener()
    const problem = this.#file.broken?.message
    if (problem !== undefined && problem !== this.#warned) {
      this.#warn(`${problem} The API keys of before stay in force.`)
    }
    this.#warned = problem
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #void({ isDisabled, notBefore, expires }: ApiKey): ApiKeyRefusal | undefined {
    if (isDisabled) return 'apikey.disabled'
    const now = this.#now()
    if (now < notBefore) return 'apikey.nbf'
    return now < expires ? undefined : 'apikey.exp'
  }
}

/** Of no secret. */
const decoy = Buffer.alloc(32)

const toKeys = (records: readonly ApiKeyRecord[]): Keys =>
  new Map(records.map((record) => [record.id, toKey(record)]))

function toKey({
  id,
  hash,
  owner,
  scopes,
  roles,
  notBefore,
  expires,
  disabled = false
}: ApiKeyRecord): ApiKey {
  const claims = {
    sub: owner,
    key_id: id,
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    ...(roles !== undefined && { roles: Object.freeze(roles) })
  }
  const holder: Holder = Object.freeze({
    subject: owner,
    session: undefined,
    scopes: Object.freeze(scopes),
    claims: Object.freeze(claims),
    isOwn: true,
    key: id,
    notes: new HolderNotes()
  })
  return {
    hash: Buffer.from(hash, 'base64url'),
    holder,
    isDisabled: disabled,
    notBefore: notBefore === undefined ? 0 : Date.parse(notBefore),
    expires: expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires)
  }
}
