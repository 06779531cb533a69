import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/own-process.ts'
import { ask, endSuccessor, isThere, Load, logged, openSockets, startSite, successorOf } from './site.ts'

for (const workers of [1, 2]) {
  t.test(`another process takes over from ${workers === 1 ? 'one process' : 'two workers'}`, async (t) => {
    const site = await startSite(t, { workers }, { isSeen: true })
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
