import { toMilliseconds } from '../../../config/units.ts'
import type { Store } from '../../store/store.ts'
import type { AuthOptions } from '../slice.ts'
import { openOwnProvider } from './own-provider.ts'
import type { SessionPolicy, SessionProvider } from './provider.ts'
import { Sessions } from './sessions.ts'

/** Opens the provider a config asks for: its own module's, or the one over the gateway's store. */
export async function openSessions(
  auth: AuthOptions,
  {
    store,
    directory,
    warn
  }: { readonly store: Store; readonly directory: string; readonly warn: (sentence: string) => void }
): Promise<SessionProvider> {
  const { max, onLimit, provider, options } = auth.sessions
  const policy: SessionPolicy = {
    idle: toMilliseconds(auth.idle),
    absolute: toMilliseconds(auth.refresh),
    grace: toMilliseconds(auth.grace),
    unconfirmed: toMilliseconds(auth.unconfirmed),
    cap: max,
    evicts: onLimit === 'evict-oldest'
  }
  if (provider === undefined) return new Sessions(store, policy)
  return openOwnProvider(provider, options, { policy, directory, warn })
}
