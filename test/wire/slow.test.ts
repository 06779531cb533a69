import { readdirSync } from 'node:fs'
import t from 'tap'
import { startOwnProcess } from '../support/own-process.ts'
import { SlowClients, waitsOf } from '../support/slow-clients.ts'
import { transports } from '../support/transports.ts'
import { configFor, httpUpstream } from '../support/upstream.ts'

const local = { public: '127.0.0.1:0', admin: '127.0.0.1:0' }
const slowness = { heads: 400, silentBodies: 300, drippedBodies: 240, readers: 60 }
const all = 1000

/** More than a client's and a gateway's kernel hold of an answer that nobody reads. */
const large = Buffer.alloc(16 * 1024 * 1024)

/** Takes so long for all of them at the very most, on a machine that is busy with something else. */
const patience = 40_000

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

t.setTimeout(180_000)

for (const transport of transports.slice(1)) {
  t.test(
    `a thousand slow clients are cut off and nobody else waits for them, over ${transport}`,
    async (t) => {
      const up = await httpUpstream(t, (request, response) => {
        request.resume().on('end', () => response.end(request.url === '/large' ? large : 'quick'))
      })
      const gateway = await startOwnProcess(t, {
        ...configFor([up.url], { service: { transport } }),
        listen: {
          ...local,
          connectionsPerAddress: 2 * all,
          timeouts: { head: '3s', body: '3s', request: '6s', send: '3s' }
        }
      })
      const descriptors = () => readdirSync(`/proc/${gateway.pid}/fd`).length
      const quick = `${gateway.origin}/quick`

      // 1. How long requests take when nobody is slow.
      const calm = performance.now() + 2000
      const before = await waitsOf(quick, 4, () => performance.now() < calm)
      t.equal(before.failed, 0)
      const descriptorsBefore = descriptors()

      // 2. The same while a thousand connections are, until the last of them is cut.
      const slow = new SlowClients(gateway.origin, slowness, '/large')
      t.teardown(() => slow.close())
      t.equal(slow.open, all - slowness.readers)
      const end = performance.now() + patience
      const during = await waitsOf(quick, 4, () => slow.open > 0 && performance.now() < end)
      t.equal(slow.open, 0, 'every slow one is cut off')
      t.equal(slow.told, all - slowness.readers, 'and told why, where it reads')
      const metrics = async () => await (await fetch(`${gateway.admin}/metrics`)).text()
      const cut = `tollkeeper_slow_readers_cut_total{listener="public"} ${slowness.readers}\n`
      while (!(await metrics()).includes(cut) && performance.now() < end) await pause(50)
      t.equal(during.failed, 0, `all of ${during.count} others are served`)
      t.ok(during.count > 100)
      t.ok(during.median < 20 * Math.max(1, before.median), `${during.median} after ${before.median} ms`)
      t.ok(during.p99 < 40 * Math.max(5, before.p99), `${during.p99} after ${before.p99} ms`)

      // 3. Nothing of them is left, here or at the service.
      const back = performance.now() + 8000
      while (descriptors() > descriptorsBefore + 8 && performance.now() < back) await pause(50)
      t.ok(descriptors() <= descriptorsBefore + 8, `${descriptors()} descriptors after ${descriptorsBefore}`)
      const told = await metrics()
      const timeouts = 'tollkeeper_refusals_total{code="REQUEST_TIMEOUT",reason='
      t.match(told, cut)
      t.match(told, `${timeouts}"body_timeout"} ${slowness.silentBodies}\n`)
      t.match(told, `${timeouts}"request_timeout"} ${slowness.heads + slowness.drippedBodies}\n`)
    }
  )
}
