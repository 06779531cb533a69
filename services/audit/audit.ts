import type { Operation, Store } from '../store/store.ts'

/** One thing that somebody, or the gateway by itself, has done to what is running. */
export interface Deed {
  /** ISO 8601. */
  readonly at: string
  /** The subject of an operator, or `automatic`. */
  readonly by: string
  /** Where the operator's request came from. */
  readonly from?: string
  /** `ban.add`, `ban.remove` ... */
  readonly what: string
  /** What it was done to. */
  readonly to: string
  readonly detail?: Readonly<Record<string, unknown>>
  /** Status of the answer that the operator got: above 399 nothing, or not all, was done. */
  readonly status?: number
  /** The id under which the log has more of it. */
  readonly requestId?: string
}

/** Which deeds are asked for: those whose `what` begins so, and those of one subject. */
export interface DeedFilter {
  readonly what?: string
  readonly by?: string
}

/** Deeds that are kept, at most. */
const kept = 10_000
/** Milliseconds for which they are kept. */
const keepFor = 90 * 24 * 60 * 60 * 1000

/** Who did what and when, kept in the store for all gateways on it. Holds no secret: what is in it is for operators to read. */
export class Audit {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Rejects with StoreUnavailable. */
  async note(deed: Deed): Promise<void> {
    await this.#store.run(append, [key], [JSON.stringify(deed), kept, keepFor])
  }

  /** The newest first, `limit` at most, each once. Rejects with StoreUnavailable. */
  async list(limit: number, { what = '', by }: DeedFilter = {}): Promise<readonly Deed[]> {
    const texts = await this.#store.run(list, [key], [kept])
    return [...new Set(texts)]
      .flatMap((text) => {
        try {
          return [JSON.parse(text) as Deed]
        } catch {
          return []
        }
      })
      .filter((deed) => deed.what.startsWith(what) && (by === undefined || deed.by === by))
      .slice(0, limit)
  }
}

const key = 'toll:{audit}:deeds'

/** KEYS deeds. ARGV deed, how many are kept, for how many milliseconds. */
const append: Operation<unknown> = {
  name: 'audit-append',

  lua: `
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'deed', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`,

  transact(tx, [prefix = ''], [deed, most, ttl]) {
    const lastKey = `${prefix}:last`
    const number = (tx.get<number>(lastKey) ?? 0) + 1
    tx.put(lastKey, number)
    tx.put(`${prefix}:${padded(number)}`, String(deed), Number(ttl))
    if (number > Number(most)) tx.remove(`${prefix}:${padded(number - Number(most))}`)
    return 1
  },

  decode: (raw) => raw
}

/** KEYS deeds. ARGV how many at most. The newest first. */
const list: Operation<readonly string[]> = {
  name: 'audit-list',

  lua: `
local deeds = {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do deeds[#deeds + 1] = entry[2][2] end
return deeds
`,

  transact(tx, [prefix = ''], [most]) {
    const all = [...tx.range<string | number>(`${prefix}:0`)].map(({ value }) => String(value))
    return all.reverse().slice(0, Number(most))
  },

  decode: (raw) => raw as string[]
}

/** In order as text; the first digit stays 0. */
const padded = (number: number): string => String(number).padStart(16, '0')
