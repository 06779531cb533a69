import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import t from 'tap'
import { isProblem } from '../../errors.ts'
import { openRedis, type RedisStore } from '../../services/store/redis.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { operations, pause, type Tap, until } from './contract.ts'

const timeout = 100
/** Far above the timeout, far below what an untamed client takes: what counts is that no call hangs. */
const soon = 1000

t.test(
  'a stalled Redis costs a timeout at most, then nothing, and is used again when it answers',
  async (t) => {
    const { server, store } = await started(t)
    const fresh: number[] = []
    let gaps = 0
    const events: string[] = []
    await store.follow('toll:log', {
      onEvent: (event) => events.push(event),
      onFresh: (at) => fresh.push(at),
      onGap: () => {
        gaps += 1
      }
    })
    await store.run(operations.append, ['toll:log'], [60_000, 'before'])
    server.pause()
    for (let wave = 0; wave < 4; wave += 1)
      await refused(
        t,
        Array.from({ length: 20 }, () => store.get('toll:a')),
        ['store_timeout', 'store_down']
      )
    const since = fresh.length
    await pause(300)
    t.equal(fresh.length, since, 'nobody is told that the log is up to date')
    server.resume()
    await recovers(t, store)
    await store.run(operations.append, ['toll:log'], [60_000, 'after'])
    await until(() => events.length === 2)
    t.same(events, ['before', 'after'])
    t.equal(gaps, 0, 'the same server with the same log lost nothing')
  }
)

t.test('an open circuit refuses without asking', async (t) => {
  const { server, store } = await started(t)
  server.pause()
  await refused(
    t,
    Array.from({ length: 5 }, () => store.get('toll:a'))
  )
  // Nobody waited for an answer: who asks and hears nothing is told of a timeout.
  await refused(
    t,
    Array.from({ length: 200 }, () => store.get('toll:a')),
    ['store_down']
  )
  server.resume()
  await recovers(t, store)
})

t.test(
  'a killed Redis is used again after it comes back empty, and followers are told of the gap',
  async (t) => {
    const { server, store } = await started(t)
    let gaps = 0
    const events: string[] = []
    await store.follow('toll:log', {
      onEvent: (event) => events.push(event),
      onGap: () => {
        gaps += 1
      }
    })
    await store.run(operations.append, ['toll:log'], [60_000, 'lost'])
    await until(() => events.length === 1)
    const inFlight = Array.from({ length: 50 }, () =>
      store.run(operations.increment, ['toll:n'], [1, 60_000])
    )
    const killed = server.kill()
    await Promise.allSettled(inFlight)
    await killed
    await refused(t, [
      store.get('toll:a'),
      store.run(operations.increment, ['toll:n'], [1, 1000]),
      store.ping()
    ])
    await server.restart()
    await recovers(t, store)
    t.equal(await store.run(operations.increment, ['toll:m'], [1, 60_000]), 1, 'the scripts are sent again')
    await until(() => gaps > 0)
    await store.run(operations.append, ['toll:log'], [60_000, 'new'])
    await until(() => events.length === 2)
    t.same(events, ['lost', 'new'])
  }
)

t.test('what was trimmed away before a follower could read it is a gap', async (t) => {
  const { store } = await started(t)
  let gaps = 0
  const events: string[] = []
  await store.run(operations.append, ['toll:log'], [60_000, 'first'])
  await store.follow('toll:log', {
    onEvent: (event) => events.push(event),
    onGap: () => {
      gaps += 1
    }
  })
  // The follower's connection is cut while another client writes and trims.
  const [, follower] = /id=(\d+) [^\n]*cmd=xread/.exec(String(await store.client.client('LIST'))) ?? []
  await store.client
    .multi()
    .client('KILL', 'ID', follower!)
    .xadd('toll:log', '*', 'event', 'trimmed')
    .xadd('toll:log', 'MAXLEN', 1, '*', 'event', 'kept')
    .exec()
  await until(() => gaps > 0)
  await store.run(operations.append, ['toll:log'], [60_000, 'after'])
  await until(() => events.length === 1)
  t.same(events, ['after'], 'what is left of the past is in the snapshot')
  t.equal(gaps, 1)
})

t.test('following begins although Redis is away, with a gap once it is back', async (t) => {
  const { server, store } = await started(t)
  await server.kill()
  const seen: string[] = []
  await store.follow('toll:log', { onEvent: (event) => seen.push(event), onGap: () => seen.push('GAP') })
  t.same(seen, [])
  await server.restart()
  await recovers(t, store)
  await until(() => seen.length === 1)
  await store.run(operations.append, ['toll:log'], [60_000, 'e'])
  await until(() => seen.length === 2)
  t.same(seen, ['GAP', 'e'])
})

t.test('what Redis answers with an error is as unavailable, without the words of it', async (t) => {
  const { store } = await started(t)
  const write = (): Promise<unknown> => store.run(operations.increment, ['toll:n'], [1, 1000])
  const { client } = store

  // 1. A replica takes no writes (a failover that has not reached this gateway).
  await client.call('REPLICAOF', '127.0.0.1', '1')
  await refused(t, [write()], ['store_readonly'])
  await recovers(t, store, async () => {
    if ((await client.call('ROLE').catch(() => [])) !== undefined) await client.call('REPLICAOF', 'NO', 'ONE')
    await write()
  })

  // 2. Out of memory: reading goes on.
  await client.config('SET', 'maxmemory', '1')
  await refused(t, [store.set('toll:b', '1'), write()], ['store_oom'])
  t.equal(await store.get('toll:b'), undefined)
  await client.config('SET', 'maxmemory', '0')
  await write()

  // 3. A key that somebody else made something of.
  await client.del('toll:n')
  await client.rpush('toll:n', 'not a number')
  await refused(t, [write(), store.get('toll:n')])
})

t.test(
  'a Redis that wants a password after a restart is unavailable until it has the former one',
  async (t) => {
    const { server, store } = await started(t)
    await server.restart(['--requirepass', 'other'])
    for (let wave = 0; wave < 3; wave += 1) {
      await refused(t, [store.get('toll:a'), store.set('toll:a', '1')])
      await pause(50)
    }
    await server.restart([])
    await recovers(t, store)
  }
)

t.test('a cluster node behind a redis:// URL is unavailable, not a crash', async (t) => {
  const { server, store } = await started(t)
  await server.restart(['--cluster-enabled', 'yes'])
  await until(() => store.client.status === 'ready')
  await refused(t, [store.get('toll:a')], ['store_clusterdown'])
})

t.test('something else on the port is as unavailable, and Redis is used again when it is back', async (t) => {
  const { server, store } = await started(t)
  await server.kill()
  for (const answer of [
    'HTTP/1.1 400 Bad Request\r\n\r\n',
    '\0\0\0',
    '-LOADING Redis is loading\r\n',
    '$-5\r\n',
    ''
  ]) {
    const other = await answering(answer, server.port)
    await pause(60)
    await refused(t, [store.get('toll:a'), store.ping()])
    await other.close()
  }
  await server.restart()
  await recovers(t, store)
})

t.test(
  'opening says in one sentence what is wrong, within two seconds and without the password',
  async (t) => {
    const closed = await answering('', 0)
    await closed.close()
    const http = await answering('HTTP/1.1 400 Bad Request\r\n\r\n', 0)
    const silent = await answering('', 0)
    const info = 'loading:1\r\nloading_eta_seconds:10\r\n'
    const loading = await answering(`$${info.length}\r\n${info}\r\n`, 0)
    const locked = await startRedis({ args: ['--requirepass', 'open sesame'] })
    t.teardown(() => Promise.all([http.close(), silent.close(), loading.close(), locked.stop()]))

    const cases: [url: string, sentence: RegExp][] = [
      [
        `redis://kim:hunter2@127.0.0.1:${closed.port}`,
        /127\.0\.0\.1:\d+ cannot be used \(the connection was refused\)/
      ],
      [`redis://:hunter2@127.0.0.1:${http.port}/1`, /cannot be used \(it does not answer like Redis\)/],
      [`redis://:hunter2@127.0.0.1:${silent.port}`, /cannot be used \(it does not answer\)/],
      [`redis://127.0.0.1:${loading.port}`, /cannot be used \(it is still loading its data\)/],
      [`redis://127.0.0.1:${locked.port}`, /cannot be used \(it does not take these credentials\)/],
      [`redis://:hunter2@127.0.0.1:${locked.port}`, /cannot be used \(it does not take these credentials\)/],
      [`redis+sentinel://:hunter2@127.0.0.1:${closed.port}/main`, /cannot be used \(.*\); start it/],
      [`redis+cluster://:hunter2@127.0.0.1:${closed.port}`, /cannot be used \(.*\); start it/],
      ['http://:hunter2@127.0.0.1', /^store\.url is not a Redis URL/]
    ]
    await Promise.all(
      cases.map(async ([url, sentence]) => {
        const before = performance.now()
        const error = await openRedis(url, 200).then(
          () => undefined,
          (error: Error) => error
        )
        t.ok(performance.now() - before < 1900, 'in time')
        t.equal(error?.name, 'StoreOpenError', url)
        t.match(error?.message, sentence)
        t.notMatch(error?.message, /hunter2|kim|\n/)
        t.notMatch(inspect(error, { depth: 10 }), /hunter2/, 'nor in what is logged of it')
      })
    )
    const store = await openRedis(`redis://:open%20sesame@127.0.0.1:${locked.port}/3`, 200)
    await store.ping()
    await store.close()
  }
)

async function started(t: Tap): Promise<{ server: RedisServer; store: RedisStore }> {
  const server = await startRedis()
  const store = await openRedis(server.url, timeout)
  t.teardown(async () => {
    await store.close()
    await server.stop()
  })
  return { server, store }
}

/** Every call is rejected soon, as StoreUnavailable with Retry-After, for one of the reasons. */
async function refused(
  t: Tap,
  calls: readonly Promise<unknown>[],
  reasons?: readonly string[]
): Promise<void> {
  const before = performance.now()
  for (const result of await Promise.allSettled(calls)) {
    if (result.status === 'fulfilled') throw new Error(`answered ${JSON.stringify(result.value)}`)
    const { reason: error } = result
    if (!isProblem(error) || error.code !== 'STORE_UNAVAILABLE') throw error
    t.equal(error.headers?.['retry-after'], '1')
    t.equal(error.message, 'The session store does not answer; try again.')
    if (reasons) t.ok(reasons.includes(error.reason ?? ''), `${error.reason} is one of ${reasons}`)
  }
  t.ok(performance.now() - before < soon, 'no call hung')
}

/** Within two seconds, without anything being restarted here. */
async function recovers(
  t: Tap,
  store: RedisStore,
  attempt: () => Promise<unknown> = () => store.set('toll:a', '1')
): Promise<void> {
  const deadline = performance.now() + 2000
  let last: unknown
  while (performance.now() < deadline) {
    try {
      await attempt()
      t.pass('it is used again')
      return
    } catch (error) {
      last = error
    }
    await pause(20)
  }
  t.fail(`not used again within two seconds: ${(last as { cause?: unknown }).cause}`)
}

/** A TCP server that answers every command with the same bytes, or not at all. */
async function answering(bytes: string, port: number): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (data) => {
      const commands = data.toString('latin1').match(/\*\d+\r\n/g)?.length ?? 0
      if (bytes !== '') socket.write(bytes.repeat(commands))
    })
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}
