import { Redis } from 'ioredis'
import t from 'tap'
import { openRedis } from '../../services/store/redis.ts'
import { startRedis } from '../support/redis.ts'
import { operations, pause, storeContract, until } from './contract.ts'

// One node with all slots: redirections aside, a cluster as a client sees it.
const server = await startRedis({ args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'] })
t.teardown(() => server.stop())
const node = new Redis(server.url)
await node.cluster('ADDSLOTSRANGE', 0, 16_383)
while (!String(await node.cluster('INFO')).includes('cluster_state:ok')) await pause(20)
node.disconnect()
const url = `redis+cluster://127.0.0.1:${server.port}`

storeContract(async (t) => {
  const store = await openRedis(url, 1000)
  t.teardown(() => store.close())
  return store
})

t.test('a redis:// URL of a cluster says which URL it has to be', async (t) => {
  await t.rejects(openRedis(server.url, 500), { message: /the URL has to begin with redis\+cluster:\/\// })
})

t.test('a cluster that is away makes no call hang, and is used again when it is back', async (t) => {
  const store = await openRedis(url, 100)
  t.teardown(() => store.close())
  await store.set('toll:a', '1')
  let gaps = 0
  await store.follow('toll:log', {
    onEvent: () => {},
    onGap: () => {
      gaps += 1
    }
  })
  await store.run(operations.append, ['toll:log'], [60_000, 'lost'])
  server.pause()
  const before = performance.now()
  const stalled = await Promise.allSettled(Array.from({ length: 20 }, () => store.get('toll:a')))
  t.ok(performance.now() - before < 1000, 'no call hung')
  for (const result of stalled) t.match(result, { status: 'rejected', reason: { code: 'STORE_UNAVAILABLE' } })
  server.resume()
  await recovers()

  await server.kill()
  await t.rejects(store.get('toll:a'), { code: 'STORE_UNAVAILABLE' })
  await server.restart()
  await recovers()
  // In a cluster no server's identity can tell; the log itself does, being shorter than what was read.
  await until(() => gaps > 0)

  async function recovers(): Promise<void> {
    for (const end = performance.now() + 5000; performance.now() < end; await pause(20)) {
      try {
        await store.set('toll:a', '1')
        return
      } catch {}
    }
    t.fail('not used again')
  }
})
