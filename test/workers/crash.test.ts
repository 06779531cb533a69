import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/own-process.ts'
import { ask, Load, type Site, startSite } from './site.ts'

/** Two serve, and none of them is one of these. */
const renewed = (site: Site, gone: readonly number[]): Promise<void> =>
  eventually('others have taken their places', async () => {
    const workers = await site.workers().catch(() => [])
    return (
      workers.length === 2 && workers.every(({ state, pid }) => state === 'serving' && !gone.includes(pid))
    )
  })

t.test('a worker that is killed is replaced; nobody is refused a connection', async (t) => {
  const site = await startSite(t)
  const load = new Load(site.origin, { keepAlive: false, connections: 4 })
  await load.more(50)
  const [first] = await site.workers()
  process.kill(first!.pid, 'SIGKILL')
  await renewed(site, [first!.pid])
  await load.more(50)
  await load.stop()
  // What it had taken is lost with it: at most what was under way.
  t.ok(load.failures.length <= 5, `${load.failures.length} were under way`)
  t.notOk(load.failures.includes('ECONNREFUSED'))
  const [told] = site.log().filter(({ msg }) => /ended by itself/.test(String(msg)))
  t.match(told, { level: 'error', worker: 1, pid: first!.pid, signal: 'SIGKILL' })
})

t.test('all workers killed at once: connections wait for the next ones', async (t) => {
  const site = await startSite(t)
  const pids = (await site.workers()).map(({ pid }) => pid)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await site.running.seen(/ended by itself[\s\S]*ended by itself/)
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(`${site.origin}/waits`)))
  t.strictSame([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
  await renewed(site, pids)
})

t.test('a worker that stands still is replaced, and what waited for it is served', async (t) => {
  const site = await startSite(t)
  const [first] = await site.workers()
  process.kill(first!.pid, 'SIGSTOP')
  // Every second connection would have been for the one that stands still; it is given one of them.
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(`${site.origin}/waits`)))
  t.strictSame([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
  await renewed(site, [first!.pid])
  const [told] = site.log().filter(({ msg }) => /did not answer any more and was ended/.test(String(msg)))
  t.match(told, { level: 'error', worker: 1, pid: first!.pid, signal: 'SIGKILL' })
})

t.test('who takes the place of another serves what was served, whatever the file says now', async (t) => {
  const site = await startSite(t)
  const path = join(site.running.directory, 'gateway.config.json')
  writeFileSync(path, '{ "rotues": [] }')
  await site.running.seen(/config refused[\s\S]*config refused/)
  const [first] = await site.workers()
  process.kill(first!.pid, 'SIGKILL')
  await renewed(site, [first!.pid])
  for (let count = 0; count < 10; count += 1) t.equal((await ask(`${site.origin}/x`)).statusCode, 200)
  const { body } = await site.admin('GET', '/metrics')
  t.match(body, /^tollkeeper_config_last_reload_successful 0$/m, 'the new one knows of the file as well')

  // A place to listen that the file has got meanwhile is not where the new one goes.
  writeFileSync(path, site.text({ listen: { public: '127.0.0.1:1', admin: '127.0.0.1:2' } }))
  const [, second] = await site.workers()
  process.kill(second!.pid, 'SIGKILL')
  await renewed(site, [second!.pid])
  for (let count = 0; count < 10; count += 1) t.equal((await ask(`${site.origin}/x`)).statusCode, 200)
})
