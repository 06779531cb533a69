import t from 'tap'
import { atEndOfTurn } from '../../services/end-of-turn.ts'
import { openEmbedded } from '../../services/store/embedded.ts'
import { Gathered } from '../../services/store/gathered.ts'
import { openRedis } from '../../services/store/redis.ts'
import type { Operation } from '../../services/store/store.ts'
import { startRedis } from '../support/redis.ts'

/** What is behind each key, and how many were asked about together. */
const look: Operation<readonly string[]> = {
  name: 'look',
  lua: `
local seen = {}
for i = 1, #KEYS do seen[i] = (redis.call('GET', KEYS[i]) or 'none') .. ' of ' .. #KEYS end
return seen`,
  transact: (tx, keys) => keys.map((key) => `${tx.get(key) ?? 'none'} of ${keys.length}`),
  decode: (raw) => raw as readonly string[]
}

const server = await startRedis()
const stores = [await openRedis(server.url, 1000), openEmbedded(`${t.testdir()}/store`)]
t.teardown(async () => {
  for (const store of stores) await store.close()
  await server.stop()
})

for (const store of stores) {
  t.test(
    `${store.driver}: what is asked in one turn is one question, each gets the answer to theirs`,
    async (t) => {
      await store.set('a', 'A')
      await store.set('b', 'B')
      const gathered = new Gathered(store, look)
      const asked = ['a', 'b', 'c', 'a'].map((key) => gathered.ask(key))
      t.same(await Promise.all(asked), ['A of 4', 'B of 4', 'none of 4', 'A of 4'])
      t.equal(await gathered.ask('b'), 'B of 1')
    }
  )

  t.test(`${store.driver}: in a turn with very much to do every question is asked`, async (t) => {
    const gathered = new Gathered(store, look)
    for (const others of [254, 255, 256]) {
      for (let number = 0; number < others; number += 1) atEndOfTurn(() => {})
      t.equal(await gathered.ask('c'), 'none of 1')
    }
  })

  t.test(`${store.driver}: no question is about more than 128 keys`, async (t) => {
    const gathered = new Gathered(store, look)
    const answers = await Promise.all(Array.from({ length: 300 }, (_, index) => gathered.ask(`x-${index}`)))
    t.same(new Set(answers), new Set(['none of 128', 'none of 44']))
  })

  t.test(`${store.driver}: an answer is never older than its question`, async (t) => {
    const gathered = new Gathered(store, look)
    const before = gathered.ask('late')
    const write = store.set('late', 'there')
    await Promise.all([before, write])
    t.equal(await gathered.ask('late'), 'there of 1')
  })
}

t.test('a store that fails fails everybody who asked', async (t) => {
  const other = await startRedis()
  const store = await openRedis(other.url, 200)
  t.teardown(() => store.close())
  await other.stop()
  const gathered = new Gathered(store, look)
  const asked = await Promise.allSettled(['a', 'b'].map((key) => gathered.ask(key)))
  t.same(
    asked.map(({ status }) => status),
    ['rejected', 'rejected']
  )
})
