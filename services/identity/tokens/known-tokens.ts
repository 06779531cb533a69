import { flat } from '../../flat.ts'
import type { TokenIssuer, Verified } from './verifier.ts'

/**
 * What is asked again at every use of a token, beside what it was verified to be: with thousands of them each further object to look into is
 * in no cache.
 */
export interface Known {
  readonly token: string
  readonly verified: Verified
  readonly issuer: TokenIssuer
  /** The keys it was verified with. */
  readonly generation: object
  readonly exp: number
  readonly nbf: number | undefined
  /** The audience that was wished for last and that it has. */
  audience: string | undefined
}

const maxTokens = 8192
/** Of token text. What is kept of a token, text and claims together, is about three times as much. */
const maxLength = 4 * 1024 * 1024
/**
 * Characters at the end of a token by which it is looked up, 72 bits of its signature: no more of it has to be hashed, and text as short as
 * that is copied rather than pointed at. Tokens that share them push each other out, and are verified anew.
 */
const tailLength = 12

/** Tokens whose signature holds, by their exact text; bounded in number and in memory. The oldest make room. */
export class KnownTokens {
  readonly #known = new Map<string, Known>()
  #length = 0

  /** Undefined as well for a token verified with keys that are not those of now. */
  find(token: string): Known | undefined {
    const known = this.#known.get(tailOf(token))
    if (known === undefined || known.token !== token) return undefined
    if (known.generation === known.issuer.keys.generation) return known
    this.forget(token)
    return undefined
  }

  /** Only what passed every check may get here: then forged tokens push no valid one out. */
  add(
    token: string,
    { verified, issuer, generation }: Pick<Known, 'verified' | 'issuer' | 'generation'>
  ): Known {
    this.#remove(tailOf(token))
    this.#length += token.length
    while (this.#known.size >= maxTokens || (this.#length > maxLength && this.#known.size > 0)) {
      this.#remove(this.#known.keys().next().value as string)
    }
    const { exp, nbf } = verified.claims
    // Not spread, for the sake of its shape; see freezeVerified. What came is a part of a header, which would be kept with it.
    const known: Known = { token: flat(token), verified, issuer, generation, exp, nbf, audience: undefined }
    this.#known.set(tailOf(token), known)
    return known
  }

  forget(token: string): void {
    const tail = tailOf(token)
    if (this.#known.get(tail)?.token === token) this.#remove(tail)
  }

  #remove(tail: string): void {
    const known = this.#known.get(tail)
    if (known === undefined) return
    this.#known.delete(tail)
    this.#length -= known.token.length
  }
}

const tailOf = (token: string): string => token.slice(-tailLength)

/** Adds to a bounded map; the oldest entry makes room. */
export function remember<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  if (map.size >= max) map.delete(map.keys().next().value as string)
  map.set(key, value)
}
