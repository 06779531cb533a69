import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { open } from 'lmdb'
import t from 'tap'
import { openEmbedded } from '../../services/store/embedded.ts'
import { operations, storeContract, until } from './contract.ts'

const directory = t.testdir()
const writerScript = fileURLToPath(new URL('writer.js', import.meta.url))
let stores = 0

storeContract(async (t) => {
  const store = openEmbedded(`${directory}/contract`)
  t.teardown(() => store.close())
  return store
})

t.test('nothing that was acknowledged is lost when the process is killed, and others go on', async (t) => {
  const path = fresh()
  const survivor = openEmbedded(path)
  t.teardown(() => survivor.close())
  for (let round = 0; round < 3; round += 1) {
    const writer = startWriter(t, path, [`toll:killed:${round}`, 'toll:log'])
    await until(() => writer.lines.length > 10 + round * 7)
    // In the middle of its writes, while this process writes too.
    const mine = Array.from({ length: 20 }, () =>
      survivor.run(operations.increment, ['toll:mine'], [1, 60_000])
    )
    writer.child.kill('SIGKILL')
    await Promise.all([...mine, writer.gone])
    const acknowledged = Number(writer.lines.at(-1))
    const kept = Number(await survivor.get(`toll:killed:${round}`))
    t.ok(kept >= acknowledged && kept <= acknowledged + 1, `${acknowledged} acknowledged, ${kept} kept`)
  }
  t.equal(await survivor.get('toll:mine'), '60')
  const reopened = openEmbedded(path)
  t.equal(await reopened.get('toll:mine'), '60')
  await reopened.close()
})

t.test(
  'two processes on one store lose none of their increments, and each sees what the other appends',
  async (t) => {
    const path = fresh()
    const here = openEmbedded(path)
    t.teardown(() => here.close())
    const seen: string[] = []
    await here.follow('toll:log', { onEvent: (event) => seen.push(event), onGap: () => seen.push('GAP') })
    const writers = [1, 2].map(() => startWriter(t, path, ['toll:n', 'toll:log', '60']))
    const mine = []
    for (let index = 0; index < 60; index += 1)
      mine.push(await here.run(operations.increment, ['toll:n'], [1, 60_000]))
    await Promise.all(writers.map(({ gone }) => gone))
    const numbers = [...mine, ...writers.flatMap(({ lines }) => lines.map(Number))]
    t.equal(new Set(numbers).size, 180, 'each number was given once')
    t.equal(await here.get('toll:n'), '180')
    await until(() => seen.length >= 120)
    for (const { child } of writers)
      t.same(
        seen.filter((event) => event.startsWith(`${child.pid}:`)),
        Array.from({ length: 60 }, (_, index) => `${child.pid}:${index}`),
        'every event once, in order'
      )
    t.equal(seen.length, 120)
  }
)

t.test('what was trimmed away before a follower could read it is a gap', async (t) => {
  const path = fresh()
  const store = openEmbedded(path)
  t.teardown(() => store.close())
  const seen: string[] = []
  await store.follow('toll:log', { onEvent: (event) => seen.push(event), onGap: () => seen.push('GAP') })
  await store.run(operations.append, ['toll:log'], [60_000, 'before'])
  t.same(seen, ['before'], 'its own process waits for no poll')
  // The other process keeps hardly anything of what it appends, far faster than anybody here looks.
  await startWriter(t, path, ['toll:n', 'toll:log', '60', '0']).gone
  await until(() => seen.at(-1)?.endsWith(':59') === true)
  t.ok(seen.includes('GAP'))
})

t.test('what has expired is swept from the files, what was prolonged is not', async (t) => {
  const path = fresh()
  // Looked at from outside. Opened first: LMDB opens a database synchronously, and would wait for a transaction of this very process.
  await openEmbedded(path).close()
  const root = open({ path, maxDbs: 3 })
  const tables = ['entries', 'expiries'].map((name) => root.openDB({ name }))
  const counts = (): number[] => {
    root.resetReadTxn()
    return tables.map((table) => table.getCount())
  }
  const store = openEmbedded(path, { sweepEveryMs: 20 })
  t.teardown(() => store.close())
  await Promise.all(Array.from({ length: 700 }, (_, index) => store.set(`toll:gone:${index}`, '1', 500)))
  await store.set('toll:kept', '1', 60_000)
  await store.set('toll:longer', '1', 500)
  await store.set('toll:longer', '2', 60_000)
  t.same(counts(), [702, 702], 'one row each')
  await until(() => counts()[0] === 2)
  t.same(counts(), [2, 2])
  t.equal(await store.get('toll:longer'), '2')
})

t.test("makes a directory and files that are nobody else's to read", async (t) => {
  const path = join(fresh(), 'deeper')
  const store = openEmbedded(path)
  await store.set('toll:a', '1')
  await store.close()
  t.equal(statSync(path).mode & 0o777, 0o700)
  t.equal(statSync(join(path, 'data.mdb')).mode & 0o077, 0)
})

t.test('says in one sentence why it cannot be opened', async (t) => {
  const file = join(directory, 'file')
  writeFileSync(file, '')
  const broken = fresh()
  mkdirSync(broken)
  writeFileSync(join(broken, 'data.mdb'), Buffer.alloc(8192, 'not LMDB '))
  for (const path of [file, join(file, 'store'), broken]) {
    try {
      openEmbedded(path)
      t.fail('it opened')
    } catch (error) {
      t.match(error, { name: 'StoreOpenError' })
      t.match(
        (error as Error).message,
        /^The store directory [^\n]+ cannot be opened \([^\n]+\); make it writable/
      )
    }
  }
})

t.test('an operation that fails is refused as unavailable, and the next one works', async (t) => {
  const store = openEmbedded(fresh())
  t.teardown(() => store.close())
  const broken = {
    ...operations.increment,
    transact: () => {
      throw new Error('secret detail')
    }
  }
  await t.rejects(store.run(broken, ['toll:a'], [1, 1000]), {
    code: 'STORE_UNAVAILABLE',
    message: 'The session store does not answer; try again.',
    cause: { message: 'secret detail' }
  })
  t.equal(await store.run(operations.increment, ['toll:a'], [1, 1000]), 1)
})

function fresh(): string {
  stores += 1
  return join(directory, `store-${stores}`)
}

interface Writer {
  readonly child: ChildProcess
  /** The numbers it was acknowledged. */
  readonly lines: string[]
  readonly gone: Promise<unknown>
}

function startWriter(t: { teardown(handler: () => unknown): void }, path: string, args: string[]): Writer {
  const child = spawn(process.execPath, [writerScript, path, ...args], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const gone = once(child, 'close')
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  createInterface(child.stdout).on('line', (line) => line !== 'open' && lines.push(line))
  return { child, lines, gone }
}
