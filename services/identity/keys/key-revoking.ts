import type { Revocations } from '../revocations/revocations.ts'
import { markRevoked } from './key-file.ts'
import type { KeyRing } from './key-ring.ts'
import type { NewAlgorithm } from './signing-key.ts'

export interface KeyRevokingOptions {
  readonly path: string
  /** Milliseconds a token of each kind is in date. */
  readonly accessLife: number
  readonly refreshLife: number
  readonly algorithm: NewAlgorithm
  readonly now: () => number
  readonly warn: (sentence: string) => void
}

export interface RevokedKey {
  /** Whether the other gateways could be told; if not, they are as soon as the store answers. */
  readonly propagated: boolean
  /** Whether the key file says so now; if not, only the store remembers. */
  readonly written: boolean
}

/** Longest wait for the file before the other gateways are told without it. */
const filePatience = 500

/**
 * Revokes keys for good: in this ring at once, in every other gateway by the list of revocations, where a key stays for ever,
 * and in the key file, so that neither a restart nor an emptied store brings a stolen key back.
 */
export class KeyRevoking {
  readonly #keys: KeyRing
  readonly #revocations: Revocations
  readonly #options: KeyRevokingOptions
  readonly #unsubscribe: () => void

  constructor(keys: KeyRing, revocations: Revocations, options: KeyRevokingOptions) {
    this.#keys = keys
    this.#revocations = revocations
    this.#options = options
    for (const kid of revocations.revokedKeys()) void this.#follow(kid)
    this.#unsubscribe = revocations.onRevoked((revocation) => {
      if (revocation.kind === 'key') void this.#follow(revocation.kid)
    })
    keys.onChange(() => this.#tellMarked())
    this.#tellMarked()
  }

  /** Undefined when there is no such key, or it is one that signs nothing. */
  async revoke(kid: string): Promise<RevokedKey | undefined> {
    const known = this.#keys.list().find((key) => key.kid === kid)
    if (known === undefined || known.use === 'user-hash') return undefined
    // The successor first, so that whoever hears of the end finds it.
    const writing = this.#mark(kid, true)
    await Promise.race([writing, patience()])
    this.#keys.revoke(kid)
    const propagated = await this.#revocations.add([{ kind: 'key', kid }])
    return { propagated, written: await writing }
  }

  close(): void {
    this.#unsubscribe()
  }

  /** Another gateway revoked it: its successor is in the file, or will be when somebody shows a token of it. */
  async #follow(kid: string): Promise<void> {
    this.#keys.revoke(kid)
    await this.#keys.refresh()
    if (this.#keys.has(kid) && !this.#keys.marked().includes(kid)) await this.#mark(kid, false)
  }

  /** A mark that came with the file is news for gateways with another file, and for a store that forgot. */
  #tellMarked(): void {
    const news = this.#keys.marked().filter((kid) => !this.#revocations.isKeyRevoked(kid))
    if (news.length > 0) void this.#revocations.add(news.map((kid) => ({ kind: 'key', kid })))
  }

  async #mark(kid: string, replaces: boolean): Promise<boolean> {
    const { path, now, warn, ...rotation } = this.#options
    try {
      await markRevoked(path, kid, { now: now(), replaces, ...rotation })
      await this.#keys.refresh()
      return true
    } catch {
      warn(
        `${path} cannot be written, so it still has the revoked key "${kid}"; take it out where the file comes from. The store remembers that it is revoked.`
      )
      return false
    }
  }
}

const patience = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, filePatience).unref()
  })
