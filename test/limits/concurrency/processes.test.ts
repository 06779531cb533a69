import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startRedis } from '../../support/redis.ts'
import type { Done, Held, Order } from './taker.ts'

const taker = fileURLToPath(new URL('taker.js', import.meta.url))
/** After this long the places of a process that is gone are free again; twice what it takes, for a machine that is busy. */
const freeWithinMs = 10_000

const directory = mkdtempSync(join(tmpdir(), 'toll-places-'))
const redis = await startRedis()
t.teardown(async () => {
  await redis.stop()
  rmSync(directory, { recursive: true, force: true })
})
const stores = [
  { driver: 'embedded', path: 'store' },
  { driver: 'redis', url: redis.url, timeout: '2s' }
]

interface Taker {
  readonly child: ChildProcess
  order(order: Order): Promise<Done>
}

async function startTakers(t: Test, store: object, count: number): Promise<Taker[]> {
  const children = Array.from({ length: count }, () => fork(taker, [JSON.stringify(store), directory]))
  t.teardown(() => {
    for (const child of children) child.kill('SIGKILL')
  })
  await Promise.all(children.map((child) => once(child, 'message')))
  return children.map((child) => ({
    child,
    async order(order) {
      child.send(order)
      const [done] = await once(child, 'message')
      return done as Done
    }
  }))
}

/** The most places that were held at the same moment. */
function mostHeld(held: readonly Held[]): number {
  const steps = held.flatMap(([from, to]) => [
    [from, 1],
    [to, -1]
  ]) as [number, number][]
  // What ends at a moment makes room for what begins then.
  steps.sort(([a, up], [b, other]) => a - b || up - other)
  let now = 0
  let most = 0
  for (const [, step] of steps) {
    now += step
    most = Math.max(most, now)
  }
  return most
}

for (const store of stores) {
  for (const processes of [2, 4]) {
    t.test(`${store.driver}: ${processes} processes never hold more places than there are`, async (t) => {
      const takers = await startTakers(t, store, processes)
      const order: Order = { do: 'work', key: `all:${processes}`, most: 7, clients: 6, ms: 1500 }
      const done = await Promise.all(takers.map((one) => one.order(order)))
      const held = done.flatMap((one) => one.held)
      t.equal(mostHeld(held), 7, 'as many as there are, and not one more')
      t.ok(
        done.every(({ got, refused }) => got > 20 && refused > 0),
        done.map(({ got, refused }) => `${got} held, ${refused} refused`).join('; ')
      )
      const after = await takers[0]!.order({ do: 'take', key: order.key, most: 7, count: 20 })
      t.equal(after.got, 7, 'all were given back')
    })
  }

  t.test(`${store.driver}: what a process held is free again within ten seconds of kill -9`, async (t) => {
    const [killed, other] = (await startTakers(t, store, 2)) as [Taker, Taker]
    t.equal((await killed.order({ do: 'take', key: 'killed', most: 5, count: 3 })).got, 3)
    const all: Order = { do: 'take', key: 'killed', most: 5, count: 5 }
    t.equal((await other.order(all)).got, 2)
    killed.child.kill('SIGKILL')
    await once(killed.child, 'exit')
    const killedAt = performance.now()
    t.equal((await other.order(all)).got, 0, 'not known yet')
    let got = 0
    while (got < 3 && performance.now() - killedAt < freeWithinMs) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      got += (await other.order(all)).got
    }
    t.equal(got, 3, `free again after ${Math.round(performance.now() - killedAt)} ms`)
    t.equal((await other.order(all)).got, 0, 'its own are still its own')
  })
}
