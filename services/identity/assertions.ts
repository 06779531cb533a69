import type { KeyRing } from './keys/key-ring.ts'
import type { Holder } from './parts.ts'

/** Tells an assertion from an access token, for which no verifier may take it. */
const typ = 'gateway-assertion+jwt'

export interface AssertionOptions {
  readonly issuer: string
  /** Seconds. */
  readonly ttl: number
  readonly now?: () => number
}

interface Written {
  readonly text: string
  readonly kid: string
  /** Seconds since the epoch until which it is given out again. */
  readonly until: number
}

/**
 * Writes who is asking in a form that a service can verify: a short-lived JWT for that service alone, by the key that signs now.
 *
 * One is given out again for half its life, to the same holder and service, as long as the key is the same. It is kept with the
 * holder, which only a credential that was checked leads to: what is revoked or over gets none.
 */
export class Assertions {
  readonly #keys: Pick<KeyRing, 'active' | 'sign'>
  readonly #options: AssertionOptions
  readonly #now: () => number
  readonly #written = new WeakMap<Holder, Map<string, Written>>()

  constructor(keys: Pick<KeyRing, 'active' | 'sign'>, options: AssertionOptions) {
    this.#keys = keys
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /** Throws KeysUnavailable without a key to sign with. */
  of(holder: Holder, service: string): string {
    const now = this.#now() / 1000
    const { kid } = this.#keys.active()
    const known = this.#written.get(holder)
    const last = known?.get(service)
    if (last !== undefined && last.kid === kid && now < last.until) return last.text
    const written = this.#write(holder, service, Math.floor(now), kid)
    if (known === undefined) this.#written.set(holder, new Map([[service, written]]))
    else known.set(service, written)
    return written.text
  }

  #write(
    { subject, session, scopes, claims, isOwn }: Holder,
    aud: string,
    iat: number,
    kid: string
  ): Written {
    const { issuer, ttl } = this.#options
    const exp = Math.min(iat + ttl, typeof claims.exp === 'number' ? claims.exp : Number.POSITIVE_INFINITY)
    const { roles, iss } = claims
    const text = this.#keys.sign(
      {
        iss: issuer,
        sub: subject,
        aud,
        iat,
        exp,
        ...(session !== undefined && { sid: session }),
        scope: scopes.join(' '),
        ...(Array.isArray(roles) && { roles }),
        // The same name may mean another person there.
        ...(!isOwn && { origin: iss })
      },
      { typ }
    )
    return { text, kid, until: iat + (exp - iat) / 2 }
  }
}
