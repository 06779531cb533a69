import { Concurrency, type Hold } from '../../../services/limits/concurrency/concurrency.ts'
import { openStore } from '../../../services/store/open.ts'
import type { StoreOptions } from '../../../services/store/slice.ts'

/**
 * One more process on a store, as a fork: `taker STORE DIRECTORY` does what it is told and answers each message with one of its own.
 */
export type Order =
  /** Takes and gives back, from `clients` at once, for `ms`; answers with when each place was held. */
  | { readonly do: 'work'; key: string; most: number; clients: number; ms: number }
  /** Takes so many and keeps them; answers with how many it got. */
  | { readonly do: 'take'; key: string; most: number; count: number }
  /** Gives back all that it kept. */
  | { readonly do: 'release' }

/** When a place was held, in nanoseconds of the machine's clock, which all its processes share. */
export type Held = readonly [from: number, to: number]

export interface Done {
  readonly held: readonly Held[]
  readonly refused: number
  readonly got: number
}

const [store = '', directory = ''] = process.argv.slice(2)
const places = new Concurrency({
  store: await openStore(JSON.parse(store) as StoreOptions, directory),
  shareOf: () => 1,
  isAway: () => false,
  // A machine that is busy with other tests is not a store that is away.
  times: { patience: 10_000 }
})
const kept: Hold[] = []
const now = (): number => Number(process.hrtime.bigint())
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function work(key: string, most: number, clients: number, ms: number): Promise<Done> {
  const until = performance.now() + ms
  const held: Held[] = []
  let refused = 0
  const client = async (): Promise<void> => {
    while (performance.now() < until) {
      const taken = await places.take(key, most)
      if (!taken.isHeld) {
        refused += 1
        await pause(1)
        continue
      }
      const from = now()
      await pause(1 + Math.random() * 8)
      held.push([from, now()])
      taken.release()
      // Somebody else's turn: without it whoever holds a place has the next one too.
      await pause(Math.random() * 8)
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return { held, refused, got: held.length }
}

async function take(key: string, most: number, count: number): Promise<Done> {
  const taken = await Promise.all(Array.from({ length: count }, () => places.take(key, most)))
  const got = taken.filter((one) => one.isHeld)
  kept.push(...got)
  return { held: [], refused: count - got.length, got: got.length }
}

process.on('message', async (order: Order) => {
  let done: Done = { held: [], refused: 0, got: 0 }
  if (order.do === 'work') done = await work(order.key, order.most, order.clients, order.ms)
  else if (order.do === 'take') done = await take(order.key, order.most, order.count)
  else for (const hold of kept.splice(0)) hold.release()
  process.send!(done)
})
process.once('disconnect', () => process.exit(0))
process.send!('open')
