import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePorts } from '../support/ports.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startToll, type Toll } from '../support/toll.ts'
import { usersFile } from '../support/users.ts'
import type { Bounds, Fault } from './history.ts'

export const bounds: Bounds = { propagation: 1000, grace: 0, unconfirmed: 60_000 }
export const userNames: readonly string[] = Array.from({ length: 8 }, (_, index) => `user-${index}`)
export const password = '123'

export type Driver = 'redis' | 'embedded'

export interface Cluster {
  readonly origins: readonly string[]
  readonly admins: readonly string[]
  readonly adminToken: string
  /** One disturbance from beginning to end, in turn of those this store can have. */
  disturb(): Promise<Fault>
}

interface Teardown {
  teardown(handler: () => unknown): void
}

/** Real gateway processes over one store of their own, and what can happen to them. They end with the test. */
export async function startCluster(t: Teardown, driver: Driver, size = 2): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), 'toll-histories-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  const redis = driver === 'redis' ? await startRedis() : undefined
  if (redis !== undefined) t.teardown(() => redis.stop())
  writeFileSync(
    join(directory, 'users.json'),
    await usersFile(Object.fromEntries(userNames.map((name) => [name, { password }])))
  )
  const ports = await freePorts(size * 2)
  const start = (node: number): Promise<Toll> => {
    const admin = `127.0.0.1:${ports[size + node]}`
    const path = join(directory, `${node}.config.json`)
    const listen = { public: `127.0.0.1:${ports[node]}`, admin }
    writeFileSync(path, JSON.stringify(configOf(listen, redis)))
    return startToll(t, ['start', '--config', path], { cwd: directory, admin, patience: 60_000 })
  }
  const tolls = await Promise.all(Array.from({ length: size }, (_, node) => start(node)))

  const stall = async (): Promise<void> => {
    const gateway = pick(tolls).process
    if (redis !== undefined) redis.pause()
    else gateway.kill('SIGSTOP')
    await sleep(200 + Math.random() * 600)
    if (redis !== undefined) redis.resume()
    else gateway.kill('SIGCONT')
  }
  const restart = async (): Promise<void> => {
    const node = Math.floor(Math.random() * size)
    const gone = new Promise((resolve) => tolls[node]!.process.once('exit', resolve))
    tolls[node]!.process.kill('SIGKILL')
    await gone
    tolls[node] = await start(node)
  }
  const faults: [Fault['what'], () => Promise<void>][] = [
    ['stall', stall],
    ['restart', restart]
  ]
  if (redis !== undefined) faults.push(['lost-write', () => failOver(redis)])

  let turn = 0
  return {
    origins: tolls.map((_, node) => `http://127.0.0.1:${ports[node]}`),
    admins: tolls.map((_, node) => `http://127.0.0.1:${ports[size + node]}`),
    adminToken: readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim(),
    async disturb() {
      const [what, happen] = faults[turn % faults.length]!
      turn += 1
      const from = performance.now()
      await happen()
      return { kind: 'fault', what, from, to: performance.now() }
    }
  }
}

export const pick = <Value>(values: readonly Value[]): Value =>
  values[Math.floor(Math.random() * values.length)]!

/** What a failover to a replica does that lags: everything after the snapshot was acknowledged, and is forgotten. */
async function failOver(redis: RedisServer): Promise<void> {
  const client = new Redis(redis.port, '127.0.0.1', { maxRetriesPerRequest: 1 })
  await client.call('SAVE')
  client.disconnect()
  await sleep(50 + Math.random() * 250)
  await redis.kill()
  await redis.restart()
}

function configOf(listen: { public: string; admin: string }, redis: RedisServer | undefined): unknown {
  const often = { max: 1_000_000 }
  return {
    listen,
    store:
      redis === undefined ? { driver: 'embedded' } : { driver: 'redis', url: redis.url, timeout: '500ms' },
    doors: { login: often, refresh: often, admin: often },
    auth: {
      users: { driver: 'file', path: 'users.json' },
      grace: `${bounds.grace}ms`,
      unconfirmed: `${bounds.unconfirmed}ms`,
      sessions: { max: 0 }
    },
    routes: []
  }
}
