import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { eventually } from '../support/own-process.ts'
import { ask, endSuccessor, isThere, Load, openSockets, type Site, startSite, successorOf } from './site.ts'

/** Ids of the requests of a load that have a line in the access log, each once. */
const logged = (site: Site): readonly string[] =>
  site
    .log()
    .filter(({ msg, path }) => msg === 'request' && path === '/load')
    .map(({ requestId }) => String(requestId))

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

for (const workers of [1, 2]) {
  t.test(`another process takes over from ${workers === 1 ? 'one process' : 'two workers'}`, async (t) => {
    const site = await startSite(t, { workers })
    endSuccessor(t, site)
    const { codes, sockets } = await openSockets(t, site.origin, 6)
    const load = new Load(site.origin)
    const newcomers = new Load(site.origin, { connections: 2, keepAlive: false, path: '/new' })
    await load.more(100)

    // 1. What cannot start takes nothing over.
    const path = join(site.running.directory, 'gateway.config.json')
    writeFileSync(path, '{ "rotues": [] }')
    site.running.child.kill('SIGUSR2')
    await site.running.seen(/"msg":"no other process took over; this one serves on"/)
    t.match(site.running.output.err, /did you mean "routes"/)
    const refused = await site.admin('POST', '/admin/upgrade')
    t.equal(refused.status, 409)
    t.match(refused.body, /it ended with code 2 before it served/)
    await load.more(50)

    // 2. What can takes over everything.
    writeFileSync(path, site.text({ workers }))
    if (workers === 1) site.running.child.kill('SIGUSR2')
    else {
      const { status, body } = await site.admin('POST', '/admin/upgrade')
      t.equal(status, 200)
      t.ok(isThere((JSON.parse(body) as { pid: number }).pid))
    }
    t.equal(await site.exited, 0)
    await load.more(100)
    await newcomers.stop()
    t.strictSame(newcomers.failures, [], `0 of ${newcomers.answered.size} connections failed`)
    t.ok(newcomers.answered.size > 20)
    t.strictSame(
      codes,
      sockets.map(() => 1001)
    )
    t.equal((await site.admin('GET', '/readyz')).body, 'ready\n')

    // 3. And can be told to leave as the first one could.
    const successor = successorOf(site)!
    t.not(successor, site.running.child.pid)
    await load.stop()
    process.kill(successor, 'SIGTERM')
    await eventually('it has ended', () => !isThere(successor))
    t.equal(site.running.output.out.trimEnd().split('\n').at(-1)?.includes('"msg":"left"'), true)
    const failed = load.failures
    t.strictSame(failed, [], `0 of ${load.answered.size} requests failed`)
    t.strictSame(new Set(logged(site)), load.answered, 'each request has its line')
    await t.rejects(ask(site.origin), { code: 'ECONNREFUSED' })
  })
}

t.test('SIGTERM of the whole: unready at once, everything finishes, 1001, exit code 0', async (t) => {
  const site = await startSite(t, { shutdown: { delay: '3s', timeout: '3s' } })
  const { codes, sockets } = await openSockets(t, site.origin, 4)
  const load = new Load(site.origin)
  await load.more(100)
  const pids = (await site.workers()).map(({ pid }) => pid)
  site.running.child.kill('SIGTERM')
  await eventually('it says so', async () => (await site.admin('GET', '/readyz')).body === 'draining\n', 2500)
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
