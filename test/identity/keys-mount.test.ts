import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { newKeys, writeKeys } from '../../services/identity/keys/key-file.ts'
import { KeyRing } from '../../services/identity/keys/key-ring.ts'

function directoryOf(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-mount-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const write = (path: string, keys = newKeys(Date.now())) => {
  writeFileSync(path, writeKeys(keys), { mode: 0o600 })
  return keys[0]!.kid
}

/** The ring finds it by its own poll, without being asked. */
async function signsSoon(ring: KeyRing, kid: string): Promise<boolean> {
  const deadline = Date.now() + 2500
  while (ring.active().kid !== kid && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 20))
  return ring.active().kid === kid
}

async function open(t: Test, path: string, warn = (_: string) => {}): Promise<KeyRing> {
  const ring = await KeyRing.open(path, { warn })
  t.teardown(() => ring.close())
  return ring
}

t.test('another file by rename, and one written over in place, are taken over while running', async (t) => {
  const path = join(directoryOf(t), 'keys.json')
  write(path)
  const ring = await open(t, path)
  const renamed = write(`${path}.new`)
  renameSync(`${path}.new`, path)
  t.ok(await signsSoon(ring, renamed))
  t.ok(await signsSoon(ring, write(path)))
})

t.test(
  'a Secret as Kubernetes mounts it: the link ..data is swapped, and nothing is ever written there',
  async (t) => {
    const mount = directoryOf(t)
    const version = (name: string): string => {
      mkdirSync(join(mount, name))
      return write(join(mount, name, 'keys.json'))
    }
    const first = version('..2026_01')
    symlinkSync('..2026_01', join(mount, '..data'))
    symlinkSync(join('..data', 'keys.json'), join(mount, 'keys.json'))
    const before = statSync(join(mount, '..2026_01')).mtimeMs
    const ring = await open(t, join(mount, 'keys.json'))
    t.equal(ring.active().kid, first)
    const second = version('..2026_02')
    symlinkSync('..2026_02', join(mount, '..data_tmp'))
    renameSync(join(mount, '..data_tmp'), join(mount, '..data'))
    rmSync(join(mount, '..2026_01', 'keys.json'))
    t.ok(await signsSoon(ring, second))
    t.ok(statSync(join(mount, '..2026_02', 'keys.json')).isFile())
    t.ok(before > 0)
  }
)

t.test('a key nobody knows is looked for at once, and however many ask, ten times a second', async (t) => {
  const path = join(directoryOf(t), 'keys.json')
  write(path)
  const ring = await open(t, path)
  const kid = write(path)
  t.notOk(ring.has(kid))
  const from = performance.now()
  await ring.look()
  t.ok(ring.has(kid), 'not only after the poll')
  const later = write(path)
  await Promise.all(Array.from({ length: 1000 }, () => ring.look()))
  t.ok(ring.has(later))
  t.ok(performance.now() - from >= 95, 'they waited for one look together')
})
