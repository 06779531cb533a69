import { randomBytes } from 'node:crypto'
import type { Operation, Store } from '../store/store.ts'

/** Milliseconds a gateway's word about its requests is worth something. */
const worth = 3000

/**
 * How many requests a node that takes no new ones still has at the other gateways of a store. Each tells the others of its own, for as
 * long as there are any.
 */
export class Running {
  readonly #store: Store
  /** Tells this gateway from the others. */
  readonly #gateway = randomBytes(6).toString('base64url')

  constructor(store: Store) {
    this.#store = store
  }

  /** Tells of this gateway's requests at a node, and returns those of the others. Rejects with StoreUnavailable. */
  tell(service: string, id: string, count: number): Promise<number> {
    return this.#store.run(exchange, [`toll:{nodes}:r:${service}/${id}`], [this.#gateway, count, worth])
  }
}

/** KEYS node. ARGV gateway, its requests, milliseconds that is worth. Returns the sum of the others. */
const exchange: Operation<number> = {
  name: 'nodes-running',

  lua: `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now + tonumber(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local sum = 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local count, last = string.match(fields[i + 1], '^(%d+) (%d+)$')
  if fields[i] ~= ARGV[1] and count and tonumber(last) > now then sum = sum + tonumber(count) end
end
return sum
`,

  transact(tx, [key = ''], [gateway, count, ttl]) {
    const own = `${key}:${gateway}`
    tx.put(own, Number(count), Number(ttl))
    let sum = 0
    for (const other of tx.range<number>(`${key}:`)) if (other.key !== own) sum += other.value
    return sum
  },

  decode: Number
}
