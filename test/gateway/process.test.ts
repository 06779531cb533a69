import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createListener } from 'node:net'
import t from 'tap'
import { request } from 'undici'
import { runToll, serving } from '../support/running.ts'

const listen = { public: '127.0.0.1:0', admin: '127.0.0.1:0' }

t.test('a taken port is one sentence and exit code 1', async (t) => {
  const other = createListener().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  const config = JSON.stringify({ listen: { ...listen, public: `127.0.0.1:${port}` } })
  const { ended, output } = runToll(t, ['start'], { 'gateway.config.json': config })
  t.equal(await ended, 1)
  t.equal(output.err, `toll: 127.0.0.1:${port} is taken by another process; stop it or change "listen".\n`)
})

t.test('an address that is not of this machine is one sentence and exit code 1', async (t) => {
  for (const [address, said] of [
    // RFC 5737: nobody's.
    ['203.0.113.7:8080', 'this machine has no address 203.0.113.7; change "listen"'],
    ['nowhere.invalid:8080', 'no address is known for the host nowhere.invalid; correct it in the config']
  ] as const) {
    const config = JSON.stringify({ listen: { ...listen, public: address } })
    const { ended, output } = runToll(t, ['start'], { 'gateway.config.json': config })
    t.equal(await ended, 1)
    t.equal(output.err, `toll: ${said}.\n`)
  }
})

t.test('a missing Redis is one sentence and exit code 1, within two seconds', async (t) => {
  const free = createListener().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const { port } = free.address() as AddressInfo
  free.close()
  const config = JSON.stringify({
    listen,
    store: { driver: 'redis', url: `redis://:secret@127.0.0.1:${port}` }
  })
  // The best of three, for the tests beside this one take the machine as well. On a machine on which hardly anything starts within a
  // second, to say no takes no longer than a few times as much.
  const began = performance.now()
  t.equal(await runToll(t, ['start', '--help']).ended, 0)
  const bound = Math.max(2000, 4 * (performance.now() - began))
  const times: number[] = []
  while (times.length < 3 && !times.some((time) => time < bound)) {
    const started = performance.now()
    const { ended, output } = runToll(t, ['start'], { 'gateway.config.json': config })
    t.equal(await ended, 1)
    times.push(performance.now() - started)
    t.match(output.err, /^toll: .*Redis.*\n$/)
    t.match(output.err, `127.0.0.1:${port}`)
    t.notMatch(output.err, /secret/)
    t.equal(output.err.trim().split('\n').length, 1)
  }
  t.ok(Math.min(...times) < bound, `${times.map(Math.round)} ms`)
})

t.test('no config is one sentence with the way out', async (t) => {
  const { ended, output } = runToll(t, ['start'])
  t.equal(await ended, 1)
  t.equal(
    output.err,
    'toll: there is no gateway.config.json here; name one with --config, or try "toll demo".\n'
  )
})

t.test('a broken config is told with its place, and exit code 2', async (t) => {
  const { ended, output } = runToll(t, ['start'], { 'gateway.config.json': '{\n  "rotues": []\n}\n' })
  t.equal(await ended, 2)
  t.match(output.err, /gateway\.config\.json:2:3 +error .*"rotues"/)
  t.match(output.err, /did you mean "routes"\?/)
})

t.test('SIGTERM: unready at once, what is under way finishes, exit code 0', async (t) => {
  // 1. A gateway with one request under way that its upstream holds.
  const held: ServerResponse[] = []
  const upstream = createServer((_request, response) => void held.push(response)).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.teardown(() => {
    upstream.closeAllConnections()
    upstream.close()
  })
  const node = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const config = {
    listen,
    shutdown: { delay: '300ms', timeout: '10s' },
    services: { slow: { nodes: [node] } },
    routes: [{ id: 'slow', path: '/*', service: 'slow', auth: 'none' }]
  }
  const running = runToll(t, ['start'], { 'gateway.config.json': JSON.stringify(config) })
  const { origin, admin } = await serving(running)
  const underWay = request(`${origin}/x`)
  while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))

  // 2. Told to leave: /readyz says so while the delay lasts.
  running.child.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 100))
  const ready = await request(`${admin}/readyz`)
  t.equal(ready.statusCode, 503)
  t.equal(await ready.body.text(), 'draining\n')

  // 3. Then it takes no connection any more, but answers what it had taken.
  await new Promise((resolve) => setTimeout(resolve, 500))
  await t.rejects(request(`${origin}/late`))
  held[0]!.end('finished')
  const answer = await underWay
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers.connection, 'close')
  t.equal(await answer.body.text(), 'finished')
  t.equal(await running.ended, 0)
  t.match(running.output.out, /"msg":"request".*"path":"\/x","status":200/)
})

t.test('a second SIGTERM ends it now', async (t) => {
  const config = JSON.stringify({ listen, shutdown: { delay: '1m' } })
  const running = runToll(t, ['start'], { 'gateway.config.json': config })
  await serving(running)
  running.child.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 200))
  running.child.kill('SIGTERM')
  t.equal(await running.ended, 1)
})

t.test('SIGHUP reads the config again', async (t) => {
  const running = runToll(t, ['start'], { 'gateway.config.json': JSON.stringify({ listen }) })
  await serving(running)
  running.child.kill('SIGHUP')
  const { writeFileSync } = await import('node:fs')
  writeFileSync(
    `${running.directory}/gateway.config.json`,
    JSON.stringify({ listen, log: { level: 'debug' } })
  )
  running.child.kill('SIGHUP')
  await running.seen(/"msg":"config reloaded"/)
})
