import Fastify from 'fastify'
import t from 'tap'
import { redis } from '../../plugins/redis.ts'
import type { Services } from '../../services/services.ts'
import { openEmbedded } from '../../services/store/embedded.ts'
import { parseRedisUrl } from '../../services/store/redis/address.ts'
import { Breaker } from '../../services/store/redis/breaker.ts'
import { openRedis } from '../../services/store/redis.ts'
import type { Store } from '../../services/store/store.ts'
import { startRedis } from '../support/redis.ts'

t.test('reads the three shapes of a store URL', async (t) => {
  t.match(parseRedisUrl('redis://127.0.0.1'), {
    kind: 'single',
    endpoints: [{ host: '127.0.0.1', port: 6379 }],
    db: 0,
    username: undefined,
    password: undefined,
    tls: false,
    shown: '127.0.0.1:6379'
  })
  t.match(parseRedisUrl('rediss://kim:p%40ss%2Fword@[::1]:7000/3'), {
    endpoints: [{ host: '::1', port: 7000 }],
    db: 3,
    username: 'kim',
    password: 'p@ss/word',
    tls: true,
    shown: '::1:7000'
  })
  t.match(parseRedisUrl('redis+sentinel://:pw@a:26380,b/main/2'), {
    kind: 'sentinel',
    endpoints: [
      { host: 'a', port: 26_380 },
      { host: 'b', port: 26_379 }
    ],
    master: 'main',
    db: 2,
    password: 'pw',
    shown: 'a:26380, b:26379'
  })
  t.match(parseRedisUrl('rediss+cluster://a:1,b:2/'), { kind: 'cluster', tls: true, shown: 'a:1, b:2' })
})

t.test('takes nothing else for a store URL', async (t) => {
  for (const url of [
    '',
    '127.0.0.1:6379',
    'http://127.0.0.1',
    'redis://',
    'redis://a,b',
    'redis://a:0',
    'redis://a:65536',
    'redis://a:port',
    'redis://a/main',
    'redis://a/1/2',
    'redis://:%zz@a',
    'redis+sentinel://a',
    'redis+sentinel://a/main/x',
    'redis+cluster://a/1',
    'redis://a?db=1'
  ])
    t.equal(parseRedisUrl(url), undefined, url)
})

t.test(
  'a breaker opens after five failures in a second, for half a second, and lets one call try',
  async (t) => {
    let now = 0
    const breaker = new Breaker(() => now)
    const fail = (times: number): void => {
      for (let index = 0; index < times; index += 1) {
        t.ok(breaker.allows())
        breaker.failed()
      }
    }
    fail(4)
    now = 1100
    fail(4)
    t.ok(breaker.allows(), 'four in one second and four in the next do not open it')
    breaker.failed()
    t.notOk(breaker.allows(), 'the fifth does')
    now += 499
    t.notOk(breaker.allows())
    now += 1
    t.ok(breaker.allows(), 'one may try')
    t.notOk(breaker.allows(), 'but only one')
    breaker.failed()
    t.notOk(breaker.allows(), 'it failed: open again')
    now += 500
    t.ok(breaker.allows())
    breaker.succeeded()
    fail(4)
    t.ok(breaker.allows(), 'closed, and it counts from the start')
  }
)

t.test(
  "gives third-party plugins the store's client as app.redis, and leaves it open with the store",
  async (t) => {
    const server = await startRedis()
    const store = await openRedis(server.url, 100)
    t.teardown(async () => {
      await store.close()
      await server.stop()
    })
    const app = await appWith(store)
    t.equal(app.redis, store.client)
    t.ok(app.hasPlugin('@fastify/redis'))
    t.equal(await app.redis.set('toll:x', '1'), 'OK')
    await app.close()
    await store.ping()

    // A reload while Redis is away or answers with errors must neither hang nor end the client.
    await server.kill()
    const meanwhile = await appWith(store)
    t.equal(meanwhile.redis, store.client)
    await t.rejects(meanwhile.redis.get('toll:x'))
    await meanwhile.close()
    await server.restart()
    for (let attempt = 0; attempt < 200 && store.client.status !== 'ready'; attempt += 1)
      await new Promise((resolve) => setTimeout(resolve, 10))
    await store.ping()
  }
)

t.test('with the embedded store there is no app.redis', async (t) => {
  const store = openEmbedded(`${t.testdir()}/store`)
  const app = await appWith(store)
  t.notOk(app.hasDecorator('redis'))
  await app.close()
  await store.close()
})

async function appWith(store: Store) {
  const app = Fastify()
  await redis.setup(app, {}, { store } as unknown as Services)
  await app.ready()
  return app
}
