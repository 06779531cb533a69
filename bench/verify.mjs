// Verifications per CPU second, and what 20,000 forged and 20,000 distinct tokens leave on the heap. Run with `npm run bench:verify`.
import { mkdtempSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Value } from '@sinclair/typebox/value'
import { createIdentity } from '../build/services/identity/open.js'
import { openRevocations } from '../build/services/identity/revocations/open.js'
import { authSlice } from '../build/services/identity/slice.js'
import { openStore } from '../build/services/store/open.js'

if (globalThis.gc === undefined) throw new Error('needs node --expose-gc; run it with "npm run bench:verify"')
const many = 20_000
const directory = mkdtempSync(join(tmpdir(), 'toll-bench-'))
const store = await openStore({ driver: 'embedded', path: 'store' }, directory)
const warn = console.error
const lives = { own: 900_000, foreign: 900_000 }
const revocations = openRevocations({ store, shared: (_key, open) => open() }, 'revocations', lives, warn)
const identity = await createIdentity(Value.Default(authSlice, {}), { store, revocations, directory, warn })
const { kid, alg, sign: signWith } = identity.keys.active()
const now = Math.floor(Date.now() / 1000)

/** A token as a sign-in gives it; `filler` makes it longer. */
function sign(jti, filler) {
  const claims = {
    ...{
      iss: 'tollkeeper',
      sub: 'kesa',
      aud: 'api',
      client_id: 'toll',
      iat: now,
      exp: now + 900,
      jti: `${jti}`
    },
    ...{
      sid: `AAAAAAAAAAAA${String(jti).padStart(22, 'A').slice(-22)}`,
      ep: 0,
      scope: 'orders:read orders:write',
      filler
    }
  }
  const input = [{ alg, typ: 'at+jwt', kid }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url')
  )
  return Buffer.from(`Bearer ${input.join('.')}.${signWith(input.join('.')).toString('base64url')}`)
}

const access = { session: 'stateless', audience: 'api', issuers: 'all' }
const revocable = { ...access, session: 'revocable' }
/** Reads the token out of bytes every time, as a request brings it: a text whose hash nobody knows yet. */
const check = (header, how = access) => identity.judge({ kind: 'bearer', value: header.latin1Slice(7) }, how)

function cpu(work) {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}
function heap() {
  globalThis.gc()
  globalThis.gc()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 2 ** 20
}
const rows = []
const row = (what, value) => rows.push({ what, value })
const rate = (what, tokens, isGood, how) => {
  let wrong = 0
  const seconds = cpu(() => {
    for (const token of tokens) if ((typeof check(token, how) === 'object') !== isGood) wrong += 1
  })
  if (wrong > 0)
    throw new Error(
      `${what}: ${wrong} of ${tokens.length} were judged wrongly, the first ${check(tokens[0], how)}`
    )
  row(what, `${Math.round(tokens.length / seconds).toLocaleString('en')} per CPU second`)
}

const one = sign('one')
const repeated = Array.from({ length: 300_000 }, () => one)
const distinct = []
for (let count = 0; count < many; count += 1) distinct.push(sign(count))
const forged = distinct.map((header) => {
  const other = Buffer.from(header)
  other[other.length - 4] = other.at(-4) === 65 ? 66 : 65
  return other
})
rate('warm-up', repeated.slice(0, 100_000), true)
rows.length = 0
rate('the same token', repeated, true)
// The list of revocations is heard of again, which nothing could while this was busy.
await sleep(2000)
rate('the same token, revocable', repeated, true, revocable)
const before = heap()
rate('forged tokens', forged, false)
row('heap after 20,000 forged', `${(heap() - before).toFixed(1)} MiB more`)
rate('distinct tokens', distinct, true)
row('heap after 20,000 distinct', `${(heap() - before).toFixed(1)} MiB more`)

const beforeLong = heap()
for (let count = 0; count < 8192; count += 1) check(sign(`long-${count}`, 'x'.repeat(5500)))
row('heap after 8,192 of nearly 8 KiB', `${(heap() - beforeLong).toFixed(1)} MiB more`)
console.log(`load ${loadavg()[0].toFixed(1)}, Node ${process.version}`)
console.table(rows)
await identity.close()
await (await revocations).close()
await store.close()
rmSync(directory, { recursive: true, force: true })
