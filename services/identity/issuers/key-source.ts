import { KeyRefused } from '../tokens/jwk.ts'
import { type KeySet, readKeySet } from '../tokens/jwk-set.ts'
import { readObject } from '../tokens/strict-json.ts'
import { isTrustworthy } from './address.ts'
import { type FetchedDocument, FetchFailed, fetchDocument } from './fetch-document.ts'

export interface KeySourceOptions {
  readonly issuer: string
  readonly jwks?: string | undefined
  readonly algorithms: readonly string[]
  readonly allowInsecure: boolean
  /** Milliseconds a fetch may take, with all it needs on the way. */
  readonly timeout: number
}

export interface FetchedKeys extends KeySet {
  readonly maxAge: number | undefined
}

/** Where an issuer's keys are fetched from: the address of the config, or the one its discovery document names. */
export class KeySource {
  readonly #options: KeySourceOptions
  #found: URL | undefined

  constructor(options: KeySourceOptions) {
    this.#options = options
  }

  /** Rejects with FetchFailed or KeyRefused. */
  async fetch(stopped: AbortSignal): Promise<FetchedKeys> {
    const { jwks, algorithms, timeout } = this.#options
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), stopped])
    this.#found ??= jwks === undefined ? await this.#discover(signal) : new URL(jwks)
    try {
      const { bytes, maxAge } = await fetchDocument(this.#found, signal)
      return { ...readKeySet(bytes, algorithms), maxAge }
    } catch (error) {
      // The next time it is asked again where they are: they may have moved.
      this.#found = undefined
      throw error
    }
  }

  /** OpenID Connect Discovery 4, else RFC 8414 3. Its `issuer` has to be the one that was asked for. */
  async #discover(signal: AbortSignal): Promise<URL> {
    const { issuer, allowInsecure } = this.#options
    const document = readObject((await this.#document(signal)).bytes, 16)
    if (document === undefined) throw new KeyRefused('its discovery document is no JSON object')
    if (document.issuer !== issuer) throw new KeyRefused('its discovery document is of another issuer')
    const { jwks_uri: uri } = document
    if (typeof uri !== 'string' || !URL.canParse(uri) || !isTrustworthy(new URL(uri), allowInsecure)) {
      throw new KeyRefused('its discovery document names no safe address of keys ("jwks_uri")')
    }
    return new URL(uri)
  }

  async #document(signal: AbortSignal): Promise<FetchedDocument> {
    const { issuer } = this.#options
    const { origin, pathname } = new URL(issuer)
    const path = pathname.replace(/\/$/, '')
    try {
      return await fetchDocument(new URL(`${origin}${path}/.well-known/openid-configuration`), signal)
    } catch (error) {
      if (!(error instanceof FetchFailed) || error.status !== 404) throw error
      const other = new URL(`${origin}/.well-known/oauth-authorization-server${path}`)
      return await fetchDocument(other, signal)
    }
  }
}
