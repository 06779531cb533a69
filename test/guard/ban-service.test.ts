import t from 'tap'
import { AddressSet, addressSet, parseNetwork } from '../../services/bans/address-set.ts'
import type { Ban } from '../../services/bans/ban.ts'
import { Bans } from '../../services/bans/bans.ts'
import { openRedis } from '../../services/store/redis.ts'
import { startRedis } from '../support/redis.ts'
import { openStores } from '../support/stores.ts'

const policy = (durations: readonly number[], allow: readonly string[] = [], dryRun = false) => ({
  durations,
  memory: 60_000,
  dryRun,
  exempt: addressSet(allow)
})
const cause = { reason: 'score', evidence: { 'status:401': 12 } }

function events() {
  const told: { ban: Ban; isDry: boolean }[] = []
  return { told, onBan: (ban: Ban, isDry: boolean) => told.push({ ban, isDry }), onFull() {} }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if (holds()) return
    await pause(10)
  }
  throw new Error('it did not come to that within 5 s')
}

t.test('each further ban of a network lasts longer, also when another gateway places it', async (t) => {
  for (const store of await openStores(t)) {
    const [one, two] = [await Bans.open(store, events()), await Bans.open(store, events())]
    const rule = policy([300, 60_000])
    one.punish('192.0.2.7', cause, rule)
    t.match(one.find('192.0.2.7'), { level: 1, by: 'automatic', evidence: cause.evidence }, 'here at once')
    await until(() => two.find('192.0.2.7') !== undefined)
    two.punish('192.0.2.7', cause, rule)
    t.equal(two.find('192.0.2.7')?.level, 1, 'who is banned is not banned again')
    await until(() => one.find('192.0.2.7') === undefined)
    await until(() => two.find('192.0.2.7') === undefined)
    two.punish('192.0.2.7', cause, rule)
    await until(() => one.find('192.0.2.7')?.level === 2)
    await until(() => two.find('192.0.2.7')?.level === 2)
    const { since, until: end } = one.find('192.0.2.7')!
    t.equal(end - since, 60_000)
    t.equal(await one.remove('192.0.2.7', true), true)
    await until(() => two.find('192.0.2.7') === undefined)
    one.punish('192.0.2.7', cause, rule)
    await until(() => two.find('192.0.2.7') !== undefined)
    t.equal(two.find('192.0.2.7')?.level, 1, 'forgotten')
    await Promise.all([one.close(), two.close()])
  }
})

t.test('who is exempt is left alone, and a dry run says once whom it would ban', async (t) => {
  const [store] = await openStores(t)
  const heard = events()
  const bans = await Bans.open(store!, heard)
  bans.punish('192.0.2.7', cause, policy([60_000], ['192.0.2.0/24']))
  t.equal(bans.find('192.0.2.7'), undefined)
  for (let index = 0; index < 3; index += 1) bans.punish('192.0.2.7', cause, policy([60_000], [], true))
  t.equal(bans.find('192.0.2.7'), undefined)
  t.match(heard.told, [{ isDry: true, ban: { network: '192.0.2.7' } }])
  t.match(bans.figures, { active: 0, placed: 0, dry: 1 })
  bans.punish('not an address', cause, policy([60_000]))
  await bans.close()
})

t.test('a ban that is placed while Redis is away holds here, and elsewhere once it is back', async (t) => {
  const server = await startRedis()
  const stores = await Promise.all([openRedis(server.url, 200), openRedis(server.url, 200)])
  t.teardown(async () => {
    await Promise.all(stores.map((store) => store.close()))
    await server.stop()
  })
  const [one, two] = await Promise.all(stores.map((store) => Bans.open(store, events())))
  await server.kill()
  one!.punish('2001:db8::1', cause, policy([60_000]))
  t.ok(one!.find('2001:db8::ffff'))
  await pause(700)
  await server.restart()
  await until(() => two!.find('2001:db8::2') !== undefined)
  t.match(two!.find('2001:db8::2'), { network: '2001:db8::/64', level: 1 })
  await Promise.all([one!.close(), two!.close()])
})

t.test(
  'a thousand bans are all read by a gateway that starts later, and one that ended is not',
  async (t) => {
    for (const store of await openStores(t)) {
      const one = await Bans.open(store, events())
      one.punish('198.51.100.1', cause, policy([50]))
      for (let index = 0; index < 2500; index += 1) {
        one.punish(`10.0.${index >> 8}.${index & 255}`, cause, policy([60_000]))
      }
      await until(() => one.figures.active >= 2500)
      await pause(200)
      let later = await Bans.open(store, events())
      for (let attempt = 0; later.list().length < 2500 && attempt < 50; attempt += 1) {
        await later.close()
        await pause(100)
        later = await Bans.open(store, events())
      }
      t.equal(later.list().length, 2500)
      t.equal(later.find('198.51.100.1'), undefined)
      await Promise.all([one.close(), later.close()])
    }
  }
)

t.test('networks are found by their longest prefix, however they are written', async (t) => {
  const set = new AddressSet<string>()
  for (const written of [
    '10.0.0.0/8',
    '10.1.0.0/16',
    '10.1.2.3',
    '2001:DB8::/32',
    '2001:db8:0:5::/64',
    '::ffff:192.0.2.0/120'
  ]) {
    set.set(parseNetwork(written)!, parseNetwork(written)!.text)
  }
  const cases: [string, string | undefined][] = [
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.4', '10.1.0.0/16'],
    ['10.255.0.1', '10.0.0.0/8'],
    ['11.0.0.1', undefined],
    ['192.0.2.200', '192.0.2.0/24'],
    ['2001:db8:0:5:ffff::', '2001:db8:0:5::/64'],
    ['2001:db8:ffff::1', '2001:db8::/32'],
    ['2001:db9::1', undefined],
    ['nonsense', undefined],
    ['', undefined]
  ]
  for (const [address, network] of cases) t.equal(set.find(address), network, address)
  t.equal(set.delete(parseNetwork('10.1.9.9/16')!), true)
  t.equal(set.find('10.1.2.4'), '10.0.0.0/8')
  for (const wrong of [
    '',
    '10.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '::/129',
    'fe80::1%eth0/64x',
    '1.2.3.4/'
  ]) {
    t.equal(parseNetwork(wrong), undefined, wrong)
  }
})

t.test('a hundred random prefixes are found as counting bits by hand finds them', async (t) => {
  let seed = 11
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % below
  }
  const address = () => [10, random(4), random(4), random(256)].join('.')
  const toBits = (one: string) =>
    one
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('')
  const networks = Array.from({ length: 100 }, () => ({ base: address(), bits: 8 + random(25) }))
  const set = new AddressSet<number>()
  for (const { base, bits } of networks) set.set(parseNetwork(`${base}/${bits}`)!, bits)
  for (let index = 0; index < 2000; index += 1) {
    const one = address()
    const lengths = networks
      .filter(({ base, bits }) => toBits(base).slice(0, bits) === toBits(one).slice(0, bits))
      .map(({ bits }) => bits)
    const longest = lengths.length === 0 ? undefined : Math.max(...lengths)
    if (set.find(one) !== longest) return t.fail(`${one}: ${set.find(one)} instead of ${longest}`)
  }
  return t.pass()
})
