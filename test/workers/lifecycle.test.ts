import t, { type Test } from 'tap'
import { eventually } from '../support/own-process.ts'
import { isThere, Load, logged, openSockets, type Site, startSite } from './site.ts'

/** All that was answered is in the log, once, and nothing went wrong. */
async function whole(t: Test, site: Site, load: Load): Promise<void> {
  await load.stop()
  t.strictSame(load.failures, [], `0 of ${load.answered.size} requests failed`)
  await eventually('every line is there', () => logged(site).length >= load.answered.size)
  t.strictSame(new Set(logged(site)), load.answered, 'each request has its line')
  t.equal(logged(site).length, load.answered.size, 'and one only')
  const ended = site.log().filter(({ msg, code }) => /ended/.test(String(msg)) && code !== 0)
  t.strictSame(ended, [], 'whoever left did so with exit code 0')
}

t.test(
  'SIGTERM of one of two workers: nothing fails, its WebSockets end with 1001, another takes its place',
  async (t) => {
    const site = await startSite(t)
    const { sockets, codes, open, echo } = await openSockets(t, site.origin, 8)
    const load = new Load(site.origin)
    await load.more(100)
    const [first, second] = await site.workers()

    process.kill(first!.pid, 'SIGTERM')

    // Its WebSockets have as long as requests have.
    await site.running.seen(/"msg":"a worker is leaving"/)
    for (const socket of open()) await echo(socket)
    t.equal(open().length, sockets.length)
    await eventually('it has ended', () => !isThere(first!.pid))
    await eventually('there are two again', async () => {
      const workers = await site.workers()
      return workers.length === 2 && workers.every(({ state }) => state === 'serving')
    })
    await load.more(200)
    const pids = (await site.workers()).map(({ pid }) => pid)
    t.ok(pids.includes(second!.pid), 'the other one stays')
    t.notOk(pids.includes(first!.pid))
    await whole(t, site, load)
    t.ok(
      codes.length > 0 && open().length > 0,
      `${codes.length} of ${sockets.length} WebSockets were its own`
    )
    t.strictSame(new Set(codes), new Set([1001]))
    for (const socket of open()) await echo(socket)
  }
)

t.test('a rolling restart of both: nothing fails, and the metrics forget nothing', async (t) => {
  const site = await startSite(t)
  const { codes, sockets } = await openSockets(t, site.origin, 6)
  const load = new Load(site.origin)
  await load.more(100)
  const before = (await site.workers()).map(({ pid }) => pid)

  t.equal((await site.admin('POST', '/admin/workers/restart')).status, 202)
  t.equal((await site.admin('POST', '/admin/workers/restart')).status, 409, 'one at a time')

  await site.running.seen(/"msg":"all workers were replaced"/)
  await eventually('the old ones have ended', () => !before.some(isThere))
  await load.more(200)
  await whole(t, site, load)
  t.strictSame(
    codes,
    sockets.map(() => 1001)
  )
  const { body } = await site.admin('GET', '/metrics')
  const [, count] = /tollkeeper_requests_total\{route="echo",method="GET",status="200"\} (\d+)/.exec(body)!
  t.equal(Number(count), load.answered.size, 'requests of workers that have left are still counted')
})

t.test('SIGTERM of the whole: unready at once, everything finishes, 1001, exit code 0', async (t) => {
  const site = await startSite(t, { shutdown: { delay: '5s', timeout: '3s' } })
  const { codes, sockets } = await openSockets(t, site.origin, 4)
  const load = new Load(site.origin)
  await load.more(100)
  const pids = (await site.workers()).map(({ pid }) => pid)
  site.running.child.kill('SIGTERM')
  await eventually('it says so', async () => (await site.admin('GET', '/readyz')).body === 'draining\n', 4000)
  await load.more(60)
  await load.stop()
  t.strictSame(load.failures, [], 'it still takes requests meanwhile')
  t.equal(await site.running.ended, 0)
  t.strictSame(
    codes,
    sockets.map(() => 1001)
  )
  t.notOk(pids.some(isThere))
  t.strictSame(new Set(logged(site)), load.answered, 'each request has its line')
})

t.test('a second SIGTERM ends all of it now', async (t) => {
  const site = await startSite(t, { shutdown: { delay: '1m' } })
  const pids = (await site.workers()).map(({ pid }) => pid)
  site.running.child.kill('SIGTERM')
  await site.running.seen(/"msg":"leaving/)
  site.running.child.kill('SIGTERM')
  t.equal(await site.running.ended, 1)
  await eventually('no worker is left', () => !pids.some(isThere))
})

t.test('workers leave when their primary is gone', async (t) => {
  const site = await startSite(t)
  const pids = (await site.workers()).map(({ pid }) => pid)
  t.ok(pids.every(isThere))
  site.running.child.kill('SIGKILL')
  await eventually('no worker is left', () => !pids.some(isThere))
})
