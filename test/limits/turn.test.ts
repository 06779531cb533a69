import { Redis } from 'ioredis'
import t from 'tap'
import { atEndOfTurn } from '../../services/end-of-turn.ts'
import { rateOf } from '../../services/limits/bucket.ts'
import { Turn } from '../../services/limits/turn.ts'
import { openRedis } from '../../services/store/redis.ts'
import { startRedis } from '../support/redis.ts'

const patience = 300
const asked = { numbers: rateOf({ qps: 1, slack: 99 }), wanted: 1 }

const server = await startRedis()
const store = await openRedis(server.url, 10_000)
const other = new Redis(server.url, { protocol: 2 })
t.teardown(async () => {
  other.disconnect()
  await store.close()
  await server.stop()
})

const said: string[] = []
const turn = new Turn(store, patience, {
  onAway: (cause) => said.push(`away: ${(cause as Error).message}`),
  onCaughtUp: () => said.push('caught up')
})
t.beforeEach(() => said.splice(0))

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** How often the store was asked so far. */
async function questions(): Promise<number> {
  const stats = await other.info('commandstats')
  const [, evals = '0'] = /cmdstat_evalsha:calls=(\d+)/.exec(stats) ?? []
  return Number(evals)
}

t.test('what is asked in one turn of the event loop is one question', async (t) => {
  // The first one has the store learn the operation.
  t.match(await turn.ask('learn', asked), { count: 1 })
  const before = await questions()
  const told = Promise.all(['a', 'b', 'a'].map((key) => turn.ask(key, asked)))
  t.match(await told, [{ remaining: 99 }, { remaining: 99 }, { remaining: 98 }])
  t.equal((await questions()) - before, 1)
  t.same(said, [])
})

t.test('in a turn with very much to do every question is asked', async (t) => {
  for (const others of [254, 255, 256]) {
    for (let number = 0; number < others; number += 1) atEndOfTurn(() => {})
    t.match(await turn.ask(`behind ${others}`, asked), { remaining: 99 })
  }
})

t.test('a store that stumbles keeps nobody waiting, and is not away once it has answered', async (t) => {
  server.pause()
  t.equal(await turn.ask('c', asked), undefined)
  t.equal(turn.isLate, true)
  server.resume()
  for (let look = 0; look < 100 && turn.isLate; look += 1) await pause(10)
  t.same(said, ['caught up'])
  await pause(2 * patience)
  t.same(said, ['caught up'], 'and that was all')
  t.match(await turn.ask('c', asked), { remaining: 98 }, 'what it was asked was counted')
})

t.test('a silent store is away, once, and what it says afterwards changes nothing', async (t) => {
  server.pause()
  t.equal(await turn.ask('d', asked), undefined)
  await pause(2 * patience)
  t.equal(turn.isLate, false)
  server.resume()
  await other.ping()
  t.match(said, [/^away: /])
  t.equal(said.length, 1)
})

t.test('a store that refuses is away at once', async (t) => {
  await other.replicaof('127.0.0.1', 1)
  t.equal(await turn.ask('e', asked), undefined)
  t.equal(said.length, 1)
  t.match(said, [/^away: /])
})
