import { toMilliseconds } from '../../../config/units.ts'

/** Milliseconds added to the life of what a key signed, for clocks that differ and answers under way. */
const margin = 60_000

/** How long a key has to go on verifying after it signed last. */
export const keyLives = (auth: { readonly access: string; readonly refresh: string }) => ({
  accessLife: toMilliseconds(auth.access) + margin,
  refreshLife: toMilliseconds(auth.refresh) + margin
})
