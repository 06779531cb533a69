import t from 'tap'
import {
  Concurrency,
  type ConcurrencyOptions,
  type Hold
} from '../../../services/limits/concurrency/concurrency.ts'
import { exchange, storeKey } from '../../../services/limits/concurrency/exchange.ts'
import { openRedis } from '../../../services/store/redis.ts'
import type { Store } from '../../../services/store/store.ts'
import { eventually } from '../../support/own-process.ts'
import { startRedis } from '../../support/redis.ts'
import { openStores } from '../../support/stores.ts'

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const stores = await openStores(t)

/** Nobody is late here: what is looked at is what is counted, on a machine that may be busy. */
function placesOn(store: Store, options: Partial<ConcurrencyOptions> = {}): Concurrency {
  const places = new Concurrency({
    store,
    shareOf: () => 2,
    isAway: () => false,
    ...options,
    times: { patience: 10_000, ...options.times }
  })
  t.teardown(() => places.close())
  return places
}

async function takeMany(places: Concurrency, key: string, most: number, count: number): Promise<Hold[]> {
  const taken = await Promise.all(Array.from({ length: count }, () => places.take(key, most)))
  return taken.filter((one) => one.isHeld)
}

for (const store of stores) {
  const { driver } = store

  t.test(`${driver}: of ten at once as many hold a place as there are, over both gateways`, async (t) => {
    const [a, b] = [placesOn(store), placesOn(store)]
    const [ofA, ofB] = await Promise.all([takeMany(a, 'ten', 4, 5), takeMany(b, 'ten', 4, 5)])
    t.equal(ofA.length + ofB.length, 4)
    t.same((await a.peek('ten')).everywhere, 4)
    t.equal((await a.peek('ten')).here + (await b.peek('ten')).here, 4)
    for (const hold of [...ofA, ...ofB]) {
      t.equal(hold.by, 'store')
      hold.release()
      hold.release()
    }
    t.equal((await takeMany(b, 'ten', 4, 5)).length, 4, 'a second release gave nothing back')
  })

  t.test(
    `${driver}: a place given back where all are taken is there for the next request of another`,
    async (t) => {
      const [a, b] = [placesOn(store, { times: { gather: 60_000 } }), placesOn(store)]
      for (let turn = 0; turn < 50; turn += 1) {
        const [from, to] = turn % 2 === 0 ? [a, b] : [b, a]
        const hold = await from.take('one', 1)
        if (!hold.isHeld) return t.fail(`turn ${turn} found no place`)
        t.equal((await to.take('one', 1)).isHeld, false)
        hold.release()
        // As long as an answer takes to its client and the next request from there.
        await eventually('the place is free', async () => (await to.peek('one')).everywhere === 0)
      }
      return undefined
    }
  )

  t.test(`${driver}: keys have nothing to do with one another`, async (t) => {
    const places = placesOn(store)
    for (const key of ['a', 'a:b', 'a}', 'b']) t.equal((await takeMany(places, key, 1, 2)).length, 1, key)
  })

  t.test(
    `${driver}: after ten thousand requests nothing is left, neither here nor in the store`,
    async (t) => {
      const [a, b] = [placesOn(store), placesOn(store)]
      let held = 0
      const client = async (places: Concurrency, index: number): Promise<void> => {
        for (let count = 0; count < 250; count += 1) {
          const taken = await places.take(`many:${(index * 7 + count) % 13}`, 3)
          if (!taken.isHeld) continue
          held += 1
          if (count % 3 === 0) await pause(0)
          taken.release()
        }
      }
      await Promise.all(Array.from({ length: 40 }, (_, index) => client(index % 2 === 0 ? a : b, index)))
      t.ok(held > 1000, `${held} held a place`)
      await eventually('both remember nothing', () => a.size === 0 && b.size === 0)
      for (let key = 0; key < 13; key += 1) t.equal((await a.peek(`many:${key}`)).everywhere, 0)
    }
  )

  t.test(`${driver}: what lasts longer than a word is worth is still counted`, async (t) => {
    const times = { worth: 900, renew: 200 }
    const [a, b] = [placesOn(store, { times }), placesOn(store, { times })]
    const [hold] = await takeMany(a, 'long', 1, 1)
    for (let look = 0; look < 12; look += 1) {
      await pause(150)
      if ((await b.take('long', 1)).isHeld) return t.fail(`somebody else got the place at look ${look}`)
    }
    hold!.release()
    await eventually('the place is free', async () => (await b.take('long', 1)).isHeld)
    return undefined
  })

  t.test(`${driver}: a word that comes late changes nothing`, async (t) => {
    const key = storeKey('late')
    const tell = (held: number, number: number) =>
      store.run(exchange, [key], ['gateway', held, 0, 9, 60_000, number])
    t.same(await tell(5, 2), { granted: 0, taken: 5 })
    t.same(await tell(1, 1), { granted: 0, taken: 0 })
    t.equal((await placesOn(store).peek('late')).everywhere, 5)
  })

  t.test(`${driver}: random requests, ends and kills agree with a model of them`, async (t) => {
    await agreesWithModel(t, store)
  })
}

t.test('both drivers say the same of the same history', async (t) => {
  const random = randomFrom(11)
  let number = 20
  for (let step = 0; step < 600; step += 1) {
    number += 1
    const word = [`p${random(4)}`, random(4), random(4), 1 + random(9), 60_000, number - random(12)]
    const key = storeKey(`same:${random(3)}`)
    const [one, other] = await Promise.all(stores.map((store) => store.run(exchange, [key], word)))
    if (JSON.stringify(one) !== JSON.stringify(other))
      return t.fail(`step ${step}, ${word}: ${JSON.stringify([one, other])}`)
  }
  return t.pass()
})

t.test('while the store is away each counts its share, and tells of it when the store is back', async (t) => {
  const server = await startRedis()
  const store = await openRedis(server.url, 100)
  t.teardown(async () => {
    await store.close()
    await server.stop()
  })
  let isAway = false
  const options = { isAway: () => isAway, times: { patience: 20 } }
  const [a, b] = [placesOn(store, options), placesOn(store, options)]
  const before = await takeMany(a, 'out', 6, 1)
  t.equal(before.length, 1)
  await server.kill()

  // 1. Nobody has noticed yet: whoever asks is answered soon all the same.
  const startedAt = performance.now()
  const noticed = await takeMany(a, 'out', 6, 6)
  t.ok(performance.now() - startedAt < 1000, 'nobody hangs')
  t.equal(noticed.length, 2, 'its share is three, and it held one')
  t.ok(noticed.every(({ by }) => by === 'local'))

  // 2. It is known.
  isAway = true
  t.equal((await takeMany(b, 'out', 6, 6)).length, 3)
  t.match(await b.take('out', 6, 'closed'), { isHeld: false, by: 'closed' })
  const open = await b.take('out', 6, 'open')
  t.match(open, { isHeld: true, by: 'open' })
  t.same(await a.peek('out'), { here: 3, everywhere: undefined })
  for (let count = 0; count < 2000; count += 1) {
    const taken = await a.take(`passing:${count}`, 6)
    if (taken.isHeld) taken.release()
  }
  await eventually('what nobody holds is not remembered', () => a.size === 1)

  // 3. It is back, and empty.
  await server.restart()
  isAway = false
  await eventually('the store counts what is held', async () => (await a.peek('out')).everywhere === 7)
  t.match(await a.take('out', 6), { isHeld: false, by: 'store' })
  if (open.isHeld) open.release()
  noticed[0]!.release()
  await eventually('two places less', async () => (await a.peek('out')).everywhere === 5)
  t.equal((await takeMany(b, 'out', 6, 3)).length, 1)
})

t.test('a place given back while the store is away is free when it is back', async (t) => {
  const server = await startRedis()
  const store = await openRedis(server.url, 100)
  t.teardown(async () => {
    await store.close()
    await server.stop()
  })
  let isAway = false
  const [a, b] = [placesOn(store, { isAway: () => isAway }), placesOn(store, { isAway: () => isAway })]
  const held = await takeMany(a, 'back', 2, 2)
  t.equal((await b.take('back', 2)).isHeld, false)
  server.pause()
  isAway = true
  for (const hold of held) hold.release()
  await pause(300)
  server.resume()
  await eventually('the store answers', async () =>
    store.ping().then(
      () => true,
      () => false
    )
  )
  isAway = false
  await eventually('both places are free', async () => (await b.peek('back')).everywhere === 0)
})

t.test('a store that is slow costs a request its patience, and those after it nothing', async (t) => {
  const server = await startRedis()
  const store = await openRedis(server.url, 2000)
  t.teardown(async () => {
    await store.close()
    await server.stop()
  })
  const failures: unknown[] = []
  const places = placesOn(store, { onFailure: (cause) => failures.push(cause), times: { patience: 50 } })
  const [hold] = await takeMany(places, 'slow', 10, 1)
  hold!.release()
  await eventually('nothing is remembered', () => places.size === 0)
  server.pause()
  const first = await takeMany(places, 'slow', 10, 3)
  t.equal(first.length, 3)
  const startedAt = performance.now()
  for (let count = 0; count < 50; count += 1) {
    const taken = await places.take('slow', 10)
    if (taken.isHeld) taken.release()
  }
  t.ok(performance.now() - startedAt < 1000, 'none of the fifty waits')
  t.equal(failures.length, 1, 'said once')
  server.resume()
  await eventually('the store counts what is held', async () => (await places.peek('slow')).everywhere === 3)
  for (const one of first) one.release()
  await eventually('nothing is remembered any more', () => places.size === 0)
})

const randomFrom = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor(state / 65_536) % below
  }
}

/** A gateway that may be killed: from then on nothing it says reaches the store. */
interface Mortal {
  readonly places: Concurrency
  readonly held: Hold[]
  kill(): void
}

async function agreesWithModel(
  t: { equal: (a: unknown, b: unknown, what: string) => boolean },
  store: Store
) {
  const random = randomFrom(3)
  const times = { worth: 1500, renew: 300 }
  const most = 5
  const begin = (): Mortal => {
    let isDead = false
    const mortal: Store = Object.create(store, {
      run: {
        value: (...word: Parameters<Store['run']>) =>
          isDead ? Promise.reject(new Error('killed')) : store.run(...word)
      }
    })
    return {
      places: placesOn(mortal, { times }),
      held: [],
      kill: () => {
        isDead = true
      }
    }
  }
  const gateways = [begin(), begin(), begin()]
  const inModel = (): number => gateways.reduce((sum, { held }) => sum + held.length, 0)
  const isTold = async (): Promise<void> =>
    eventually(
      'the store knows',
      async () => (await gateways[0]!.places.peek('model')).everywhere === inModel()
    )
  let kills = 0
  for (let step = 0; step < 150; step += 1) {
    const which = random(gateways.length)
    const gateway = gateways[which]!
    const chance = random(100)
    if (chance < 55) {
      const count = 1 + random(4)
      const free = most - inModel()
      const got = await takeMany(gateway.places, 'model', most, count)
      gateway.held.push(...got)
      if (got.length !== Math.min(count, free)) t.equal(got.length, Math.min(count, free), `step ${step}`)
    } else if (chance < 97 || kills === 3) {
      for (const hold of gateway.held.splice(0, 1 + random(2))) hold.release()
      await isTold()
    } else {
      kills += 1
      gateway.kill()
      gateways[which] = begin()
      // Its places count until its last word is worth nothing any more, and not for longer.
      await isTold()
    }
  }
  t.equal(kills > 0, true, `${kills} were killed`)
  for (const { held } of gateways) for (const hold of held.splice(0)) hold.release()
  await isTold()
}
