import { createHash } from 'node:crypto'
import type { Operation, Store } from '../../store/store.ts'

/** Takes note that something was used; true for the first who asks. KEYS mark. ARGV milliseconds for which that is remembered. */
const use: Operation<boolean> = {
  name: 'token-use',

  lua: `
if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 1 end
return 0
`,

  transact(tx, [key = ''], [keep]) {
    if (tx.get(key) !== undefined) return 0
    tx.put(key, 1, Number(keep))
    return 1
  },

  decode: (raw) => Number(raw) === 1
}

/** Milliseconds that a gateway whose clock is late may take a token for longer. */
const margin = 10_000

/**
 * Uses a token up: true once, whichever gateway asks, false ever after. Rejects with StoreUnavailable when nobody can tell; the token
 * may be used up then.
 */
export function useOnce(
  store: Store,
  { iss, jti, exp }: { readonly iss: string; readonly jti: string; readonly exp: number },
  now: number
): Promise<boolean> {
  const keep = Math.max(0, Math.ceil(exp * 1000 - now)) + margin
  return store.run(use, [`toll:jti:${hash(iss)}:${hash(jti)}`], [keep])
}

/** Of fixed length, whatever an issuer puts in there. */
const hash = (text: string): string =>
  createHash('sha256').update(text).digest().subarray(0, 16).toString('base64url')
