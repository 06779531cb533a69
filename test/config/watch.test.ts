import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type ConfigWatch, type WatchOptions, watchConfig } from '../../config/watch.ts'

const quick = { debounce: 20, interval: 50 }

/** Watches, and counts what it is told. */
class Witness {
  count = 0
  #wake: () => void = () => {}
  readonly watch: ConfigWatch

  constructor(t: Test, path: string, options: WatchOptions = quick) {
    this.watch = watchConfig(
      path,
      () => {
        this.count += 1
        this.#wake()
      },
      options
    )
    // Nothing of the watch keeps a process alive.
    const alive = setInterval(() => {}, 1000)
    t.teardown(() => {
      clearInterval(alive)
      this.watch.close()
    })
  }

  async sees(count: number): Promise<void> {
    while (this.count < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

/** Long enough for every event of a write to be through. */
const quiet = (): Promise<void> => sleep(200)

t.test('sees five swaps of the ..data link, as Kubernetes makes them', async (t) => {
  const folder = t.testdir({})
  const publish = (revision: number): void => {
    mkdirSync(join(folder, `..2026_${revision}`))
    writeFileSync(join(folder, `..2026_${revision}`, 'gateway.config.json'), `{ "revision": ${revision} }`)
    symlinkSync(`..2026_${revision}`, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
    if (revision > 0) rmSync(join(folder, `..2026_${revision - 1}`), { recursive: true })
  }
  publish(0)
  symlinkSync('..data/gateway.config.json', join(folder, 'gateway.config.json'))
  // The looks of watchFile are switched off: the folder alone has to tell.
  const witness = new Witness(t, join(folder, 'gateway.config.json'), { debounce: 20, interval: 1e6 })
  await quiet()
  for (let revision = 1; revision <= 5; revision++) {
    publish(revision)
    await witness.sees(revision)
    await quiet()
    t.equal(witness.count, revision, `swap ${revision} is told once`)
  }
})

t.test('sees five atomic saves and five writes in place', async (t) => {
  const folder = t.testdir({ 'gateway.config.json': '{}' })
  const path = join(folder, 'gateway.config.json')
  const witness = new Witness(t, path, { debounce: 20, interval: 1e6 })
  await quiet()
  for (let save = 1; save <= 5; save++) {
    writeFileSync(`${path}.swp`, `{ "save": ${save} }`)
    renameSync(`${path}.swp`, path)
    await witness.sees(save)
  }
  for (let save = 6; save <= 10; save++) {
    writeFileSync(path, `{ "save": ${save} }`)
    await witness.sees(save)
  }
  await quiet()
  t.equal(witness.count, 10)
})

t.test('tells nothing when a file is touched or written with what it held', async (t) => {
  const folder = t.testdir({ 'gateway.config.json': '{ "same": true }' })
  const path = join(folder, 'gateway.config.json')
  const witness = new Witness(t, path)
  await quiet()
  utimesSync(path, new Date(), new Date())
  await quiet()
  writeFileSync(path, '{ "same": true }')
  writeFileSync(join(folder, 'neighbour.json'), '{}')
  await quiet()
  t.equal(witness.count, 0)
})

t.test('sees a file that was deleted and made again, and is silent while it is missing', async (t) => {
  const folder = t.testdir({ 'gateway.config.json': '{ "life": 1 }' })
  const path = join(folder, 'gateway.config.json')
  const witness = new Witness(t, path)
  await quiet()
  rmSync(path)
  await quiet()
  t.equal(witness.count, 0)
  writeFileSync(path, '{ "life": 2 }')
  await witness.sees(1)
})

t.test('sees a file in a folder that was removed and made again, time after time', async (t) => {
  const folder = join(t.testdir({ conf: { 'gateway.config.json': '{ "life": 0 }' } }), 'conf')
  const path = join(folder, 'gateway.config.json')
  const witness = new Witness(t, path)
  await quiet()
  for (let life = 1; life <= 3; life++) {
    rmSync(folder, { recursive: true })
    await quiet()
    mkdirSync(folder)
    writeFileSync(path, `{ "life": ${life} }`)
    await witness.sees(life)
  }
})

t.test('sees a folder that is a link and is turned to another folder', async (t) => {
  const root = t.testdir({
    one: { 'gateway.config.json': '{ "release": 1 }' },
    two: { 'gateway.config.json': '{ "release": 2 }' }
  })
  symlinkSync('one', join(root, 'current'))
  const witness = new Witness(t, join(root, 'current', 'gateway.config.json'))
  await quiet()
  symlinkSync('two', join(root, 'next'))
  renameSync(join(root, 'next'), join(root, 'current'))
  await witness.sees(1)
  writeFileSync(join(root, 'two', 'gateway.config.json'), '{ "release": 3 }')
  await witness.sees(2)
})

t.test('follows the files a config names, and lets go of those it names no more', async (t) => {
  const folder = t.testdir({ 'gateway.config.json': '{}', secrets: { one: 'a', two: 'b' } })
  const witness = new Witness(t, join(folder, 'gateway.config.json'), {
    ...quick,
    files: [join(folder, 'secrets', 'one')]
  })
  await quiet()
  writeFileSync(join(folder, 'secrets', 'one'), 'changed')
  await witness.sees(1)
  witness.watch.follow([join(folder, 'secrets', 'two')])
  await quiet()
  t.equal(witness.count, 1, 'following a file is no change')
  writeFileSync(join(folder, 'secrets', 'one'), 'changed again')
  await quiet()
  t.equal(witness.count, 1)
  writeFileSync(join(folder, 'secrets', 'two'), 'changed')
  await witness.sees(2)
})

t.test('is heard although a neighbour in the folder never stops writing', async (t) => {
  const folder = t.testdir({ 'gateway.config.json': '{}' })
  const noise = setInterval(() => writeFileSync(join(folder, 'access.log'), String(Math.random())), 5)
  try {
    const witness = new Witness(t, join(folder, 'gateway.config.json'), { debounce: 20, interval: 1e6 })
    await quiet()
    writeFileSync(join(folder, 'gateway.config.json'), '{ "heard": true }')
    await witness.sees(1)
  } finally {
    // Before the folder is taken away.
    clearInterval(noise)
  }
})

t.test('tells nothing once it is closed', async (t) => {
  const folder = t.testdir({ 'gateway.config.json': '{}' })
  const path = join(folder, 'gateway.config.json')
  const witness = new Witness(t, path)
  await quiet()
  writeFileSync(path, '{ "late": true }')
  witness.watch.close()
  witness.watch.follow([path])
  await quiet()
  t.equal(witness.count, 0)
})
