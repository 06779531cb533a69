import { resolve } from 'node:path'
import { toMilliseconds } from '../../config/units.ts'
import type { Services } from '../services.ts'
import type { Store } from '../store/store.ts'
import { ApiKeys } from './api-keys/api-keys.ts'
import { Identity } from './identity.ts'
import type { ForeignIssuer } from './issuers/foreign-issuer.ts'
import { openIssuers } from './issuers/open.ts'
import { keyLives } from './keys/key-lives.ts'
import { KeyRevoking } from './keys/key-revoking.ts'
import { KeyRing } from './keys/key-ring.ts'
import { openExchangesOf } from './open-exchanges.ts'
import { Freshness } from './revocations/freshness.ts'
import { openRevocations, type TokenLives } from './revocations/open.ts'
import type { Revocations } from './revocations/revocations.ts'
import { Activity } from './sessions/activity.ts'
import { openSessions } from './sessions/open.ts'
import type { SessionProvider } from './sessions/provider.ts'
import { Sessions } from './sessions/sessions.ts'
import { Sweep } from './sessions/sweep.ts'
import type { AuthOptions } from './slice.ts'
import { Verifier } from './tokens/verifier.ts'
import { LockOut } from './users/lock-out.ts'
import { openUsers } from './users/open-users.ts'

/** Seconds the clocks of two gateways may differ. */
const skew = 5

/** The identity service of a config: the same one as before a reload that leaves its part of the config alone. */
export function openIdentity(
  auth: AuthOptions,
  services: Services,
  warn: (sentence: string) => void
): Promise<Identity> {
  const { issuer, audience, access, refresh, idle, grace, users, keys, sessions, maxStaleness } = auth
  const apiKeys = auth.apiKeys?.path
  const { unconfirmed, clients } = auth
  const times = { access, refresh, idle, grace, unconfirmed, maxStaleness }
  const identifying = {
    issuer,
    audience,
    ...times,
    users,
    lockout: auth.lockout,
    keys,
    signing: auth.signing,
    sessions,
    clients,
    apiKeys,
    issuers: auth.issuers
  }
  const store = storeNumber(services)
  const open = openExchangesOf(services)
  const listed = openRevocations(services, `identity:revocations:${store}`, livesOf(auth), warn)
  return services.shared(
    `identity:${JSON.stringify([store, services.directory, identifying])}`,
    async () => {
      const { directory } = services
      const surroundings = { store: services.store, revocations: listed, directory, warn }
      const identity = await createIdentity(auth, surroundings)
      return identity.endIn(open)
    },
    (identity) =>
      identity.then(
        (opened) => opened.close(),
        () => {}
      )
  )
}

export interface IdentitySurroundings {
  readonly store: Store
  readonly revocations: Promise<Revocations>
  readonly directory: string
  readonly warn: (sentence: string) => void
  readonly now?: () => number
}

/** Opens keys, users and the revocation list; rejects with one sentence when one of them cannot be. */
export async function createIdentity(
  auth: AuthOptions,
  { store, revocations: listed, directory, warn, now = Date.now }: IdentitySurroundings
): Promise<Identity> {
  const access = toMilliseconds(auth.access)
  const idle = toMilliseconds(auth.idle)
  const users = await openUsers(auth.users, { directory, warn })
  let keys: KeyRing | undefined
  let sessions: SessionProvider | undefined
  let apiKeys: ApiKeys | undefined
  let issuers: readonly ForeignIssuer[] = []
  try {
    const { algorithm } = auth.keys
    const keyPath = resolve(directory, auth.keys.path)
    const perUser = auth.signing === 'per-user'
    keys = await KeyRing.open(keyPath, { now, warn, algorithm, perUser })
    if (auth.apiKeys !== undefined)
      apiKeys = await ApiKeys.open(resolve(directory, auth.apiKeys.path), now, warn)
    issuers = await openIssuers(auth.issuers, { directory, skew, warn })
    sessions = await openSessions(auth, { store, directory, warn })
    const revocations = await listed
    const freshness = new Freshness(revocations, toMilliseconds(auth.maxStaleness), now, warn).keepWatch()
    const lives = keyLives(auth)
    const keyRevoking = new KeyRevoking(keys, revocations, { path: keyPath, ...lives, algorithm, now, warn })
    const { issuer, audience, clients } = auth
    const own = { issuer, skew, maxLifetime: Math.ceil(access / 1000) }
    const verifier = new Verifier(keys, own, now, issuers, audience)
    const times = { access, idle, now }
    const activity = new Activity(sessions, idle, now)
    const sessionKeyOf = sessions instanceof Sessions ? sessions.keyOf : undefined
    const stores = { sessions, sessionKeyOf, activity, sweep: new Sweep(sessions, idle, warn), revocations }
    const lockOut = new LockOut(auth.lockout, { store, keys, now, warn })
    return new Identity({
      lockOut,
      issuer,
      audience,
      clients,
      ...times,
      keys,
      keyRevoking,
      users,
      apiKeys,
      issuers,
      verifier,
      freshness,
      ...stores,
      warn
    })
  } catch (error) {
    // Nobody will close what was opened for an identity that never was.
    await sessions?.close?.()
    await users?.close()
    keys?.close()
    apiKeys?.close()
    for (const issuer of issuers) issuer.close()
    throw error
  }
}

/** How long what was revoked has to be remembered: until no token it is about can be in date anywhere. */
function livesOf({ access, issuers }: AuthOptions): TokenLives {
  const own = toMilliseconds(access)
  const foreign = Math.max(own, ...issuers.map(({ maxLifetime }) => toMilliseconds(maxLifetime)))
  return { own: own + 2 * skew * 1000, foreign: foreign + 2 * skew * 1000 }
}

/** Tells one store object from another: after a reload with another store, sessions live there. */
function storeNumber(services: Services): number {
  const known = services.shared('identity:stores', () => ({ numbers: new WeakMap<Store, number>(), last: 0 }))
  let number = known.numbers.get(services.store)
  if (number === undefined) {
    known.last += 1
    number = known.last
    known.numbers.set(services.store, number)
  }
  return number
}
