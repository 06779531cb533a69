// What it costs to ask whether a client is banned, by how many are. Run with `npm run bench:bans`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bans } from '../build/services/bans/bans.js'
import { openStore } from '../build/services/store/open.js'

const counts = [0, 100, 10_000, 100_000]
const lookups = 1_000_000
const directory = mkdtempSync(join(tmpdir(), 'toll-bench-'))
const store = await openStore({ driver: 'embedded', path: 'store' }, directory)
const bans = await Bans.open(store, { onBan() {}, onFull() {} })

/** The index-th network to ban: addresses and ranges of both families, all of them different. */
function network(index) {
  const [a, b] = [index >> 8, index & 255]
  if (index % 4 === 0) return `2001:db8:${a.toString(16)}:${b.toString(16)}::/64`
  if (index % 4 === 1) return `11.${a >> 8}.${a & 255}.${b & 240}/28`
  return `10.${a >> 8}.${a & 255}.${b}`
}
/** Clients that are not banned, as they come: of both families, and none twice in a row. */
const clients = Array.from({ length: 4096 }, (_, index) =>
  index % 4 === 0 ? `2001:db9:${index.toString(16)}::7` : `172.16.${index >> 8}.${index & 255}`
)
/** More than are remembered to be free. */
const strangers = Array.from(
  { length: 40_000 },
  (_, index) => `172.${20 + (index >> 14)}.${(index >> 6) & 255}.${index & 63}`
)

console.log('banned   ns for a client that is not   ns for one never seen   ns for one that is')
let placed = 0
for (const count of counts) {
  while (placed < count) {
    const end = Math.min(count, placed + 200)
    const some = Array.from({ length: end - placed }, (_, index) => network(placed + index))
    await Promise.all(
      some.map((one) =>
        bans.add({ network: one, reason: 'bench', ttl: 3_600_000, by: 'bench' }, { memory: 3_600_000 })
      )
    )
    placed = end
    if (process.stderr.isTTY) process.stderr.write(`\r${placed} banned `)
  }
  if (process.stderr.isTTY) process.stderr.write('\r')
  const banned = clients.map(
    (_, index) => network(Math.floor((index * count) / clients.length)).split('/')[0]
  )
  const free = cost(clients, false)
  const fresh = cost(strangers, false)
  const shut = count === 0 ? '-' : cost(banned, true)
  console.log(
    `${String(count).padEnd(8)} ${String(free).padStart(24)} ${String(fresh).padStart(22)} ${String(shut).padStart(20)}`
  )
}
await bans.close()
await store.close()
rmSync(directory, { recursive: true, force: true })

/** Nanoseconds of CPU for one look-up: the best of five rounds, for a busy machine only ever adds. */
function cost(addresses, isBanned) {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round += 1) {
    const before = process.cpuUsage()
    let found = 0
    for (let index = 0; index < lookups; index += 1)
      if (bans.find(addresses[index % addresses.length]) !== undefined) found += 1
    const { user, system } = process.cpuUsage(before)
    if (found !== (isBanned ? lookups : 0)) throw new Error(`${found} of ${lookups} were banned`)
    best = Math.min(best, ((user + system) * 1000) / lookups)
  }
  return Math.round(best)
}
