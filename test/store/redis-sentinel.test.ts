import t from 'tap'
import { openRedis } from '../../services/store/redis.ts'
import { startRedis } from '../support/redis.ts'
import { operations, pause, until } from './contract.ts'

t.test('follows the master that Sentinel names, through a failover', async (t) => {
  // 1. A master with a replica, and one Sentinel that watches them.
  const master = await startRedis()
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(master.port)] })
  const sentinel = await startRedis({
    args: ['--sentinel'],
    config: [
      `sentinel monitor main 127.0.0.1 ${master.port} 1`,
      'sentinel down-after-milliseconds main 300',
      'sentinel failover-timeout main 3000'
    ].join('\n')
  })
  t.teardown(() => Promise.all([master.stop(), replica.stop(), sentinel.stop()]))
  const watching = await openRedis(sentinel.url, 500).catch((error: Error) => error)
  t.match(
    (watching as Error).message,
    /it is part of a sentinel: the URL has to begin with redis\+sentinel:\/\//
  )

  // 2. The store works, and the replica has what was written.
  const store = await openRedis(`redis+sentinel://127.0.0.1:${sentinel.port}/main`, 200)
  t.teardown(() => store.close())
  const events: string[] = []
  await store.follow('toll:log', { onEvent: (event) => events.push(event), onGap: () => events.push('GAP') })
  await store.run(operations.append, ['toll:log'], [60_000, 'before'])
  await store.set('toll:a', 'kept')
  const replicated = await openRedis(replica.url, 500)
  t.teardown(() => replicated.close())
  await untilEqual(() => replicated.get('toll:a'), 'kept')

  // 3. The master dies; the replica takes over; nothing here is restarted.
  await master.kill()
  await untilEqual(() => store.set('toll:b', 'new').then(() => 'written'), 'written')
  t.equal(await store.get('toll:a'), 'kept')
  await until(() => events.includes('GAP'))
  await store.run(operations.append, ['toll:log'], [60_000, 'after'])
  await until(() => events.at(-1) === 'after')
  t.same(events, ['before', 'GAP', 'after'])
})

async function untilEqual(ask: () => Promise<string | undefined>, wanted: string): Promise<void> {
  let last: unknown
  for (const end = performance.now() + 20_000; performance.now() < end; await pause(50)) {
    last = await ask().catch((error: Error) => String(error.cause))
    if (last === wanted) return
  }
  throw new Error(`${last} is not ${wanted}`)
}
