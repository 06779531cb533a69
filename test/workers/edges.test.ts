import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { runToll } from '../support/running.ts'
import { Load, startSite } from './site.ts'

t.test('bad configs and taken ports are told once, with the exit code of one process', async (t) => {
  const broken = runToll(t, ['start'], { 'gateway.config.json': '{ "workers": 2, "rotues": [] }' })
  t.equal(await broken.ended, 2)
  t.equal(broken.output.err.match(/did you mean "routes"/g)?.length, 1)

  const site = await startSite(t)
  const { port } = new URL(site.origin)
  const config = { workers: 2, listen: { public: `127.0.0.1:${port}`, admin: '127.0.0.1:0' } }
  const second = runToll(t, ['start'], { 'gateway.config.json': JSON.stringify(config) })
  t.equal(await second.ended, 1)
  t.equal(
    second.output.err,
    `toll: 127.0.0.1:${port} is taken by another process; stop it or change "listen".\n`
  )

  const local = { workers: 2, runtime: { enabled: true } }
  const both = runToll(t, ['check'], { 'gateway.config.json': JSON.stringify(local) })
  t.equal(await both.ended, 2)
  t.match(both.output.out + both.output.err, /is one process itself/)
})

t.test('toll workers lists and replaces them; one process alone says what to do', async (t) => {
  const site = await startSite(t)
  const { port } = new URL((JSON.parse(site.running.output.out.split('\n')[0]!) as { admin: string }).admin)
  const env = {
    TOLL_ADMIN_URL: `http://127.0.0.1:${port}`,
    TOLL_ADMIN_TOKEN: 'an-admin-token-of-the-tests-0123456789'
  }
  const listed = runToll(t, ['workers'], { 'gateway.config.json': site.text({}) }, env)
  t.equal(await listed.ended, 0, listed.output.err)
  t.match(listed.output.out, /^1\t\d+\tserving\t.*\n2\t\d+\tserving\t/)
  const restarted = runToll(t, ['workers', '--restart'], { 'gateway.config.json': site.text({}) }, env)
  t.equal(await restarted.ended, 0, restarted.output.err)
  t.match(restarted.output.out, /The first new worker serves/)

  const alone = await startSite(t, { workers: 1 })
  t.strictSame(
    (await alone.workers()).map(({ pid, state }) => [pid, state]),
    [[alone.running.child.pid, 'serving']]
  )
  const told = await alone.admin('POST', '/admin/workers/restart')
  t.equal(told.status, 409)
  t.match(told.body, /toll upgrade/)
})

t.test('clients of workers are held to the bounds of the listeners', async (t) => {
  const listen = {
    public: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    maxConnections: 1,
    timeouts: { head: '500ms' }
  }
  const site = await startSite(t, { listen })
  const { hostname, port } = new URL(site.origin)
  const connections = Array.from({ length: 4 }, () => {
    const socket = connect(Number(port), hostname)
    t.teardown(() => socket.destroy())
    const ended = new Promise<string>((resolve) => {
      let received = ''
      socket.on('data', (chunk) => {
        received += chunk
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(received))
    })
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n')
    return ended
  })
  const received = await Promise.all(connections)
  t.strictSame(received.map((text) => text.slice(0, 12)).sort(), ['', '', 'HTTP/1.1 408', 'HTTP/1.1 408'])
  const { body } = await site.admin('GET', '/metrics')
  t.match(body, /^tollkeeper_client_connections_refused_total\{listener="public",reason="too_many"\} 2$/m)
})

t.test('they write to one file, rotate it, and lose no line', async (t) => {
  const file = {
    kind: 'file',
    name: 'file',
    path: 'access.log',
    maxSize: '20KiB',
    keep: 1000,
    batch: { linger: '20ms' }
  }
  const site = await startSite(t, { log: { sinks: [file] } })
  const load = new Load(site.origin)
  await load.more(4500)
  await load.stop()
  site.running.child.kill('SIGTERM')
  t.equal(await site.running.ended, 0)
  const names = readdirSync(site.running.directory).filter((name) => name.startsWith('access.log'))
  t.ok(names.length > 10, `${names.length} files`)
  const lines = names
    .flatMap((name) => readFileSync(join(site.running.directory, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { requestId: string }).requestId)
  t.strictSame(new Set(lines), load.answered)
  t.equal(lines.length, load.answered.size)
})
