import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { freePorts } from '../support/ports.ts'
import { hello, isAlive, run, saidPids, startRuntime, until } from './processes.ts'

const nodeAt = (port: number): string => `http://127.0.0.1:${port}`

t.test('starts one process for each node, gives it the PORT, and prefixes what it says', async (t) => {
  const { runtime, printed, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const [one, two] = (await freePorts(2)) as [number, number]

  await apply({ hello: { nodes: [nodeAt(one), { url: nodeAt(two) }], run: run(['node', '-e', hello]) } })
  await until(() => runtime.status().every(({ status }) => status === 'running'))

  t.match(runtime.status(), [
    { name: 'hello.1', service: 'hello', node: nodeAt(one), restarts: 0 },
    { name: 'hello.2', service: 'hello', node: nodeAt(two), restarts: 0 }
  ])
  t.equal(await (await fetch(nodeAt(two))).text(), 'hello')
  await until(() => printed().match(/listening/g)?.length === 2)
  t.match(printed(), `hello.1 | listening ${one}\n`)
  t.match(printed(), `hello.2 | listening ${two}\n`)
  t.match(
    runtime.log('hello', 10)?.map(({ process, text }) => `${process} ${text}`),
    new Set([`hello.1 listening ${one}`, `hello.2 listening ${two}`])
  )
  t.equal(runtime.log('nobody', 10), undefined)
})

t.test('a process is running only once ready.path answers below 400', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const [port] = (await freePorts(1)) as [number]
  const slow = `let asked = 0
    require('node:http').createServer((q, r) => { r.statusCode = ++asked > 3 ? 204 : 503; console.log(q.url, r.statusCode); r.end() })
      .listen(process.env.PORT, process.env.HOST)`

  await apply({
    slow: { nodes: [nodeAt(port)], run: run(['node', '-e', slow], { ready: { path: '/health' } }) }
  })
  await until(() => runtime.status()[0]?.status === 'running')

  const lines = runtime.log('slow', 100)?.map(({ text }) => text) ?? []
  t.equal(lines.slice(0, lines.indexOf('running')).filter((text) => text === '/health 503').length, 3)
})

t.test('the command is given to no shell and sees none of the secrets of the gateway', async (t) => {
  process.env.TOLL_TEST_SECRET = 'hunter2'
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const script = 'console.log(process.argv[1], process.env.TOLL_TEST_SECRET, process.env.GREETING)'

  await apply({ job: { run: run(['node', '-e', script, '$(id); `id`'], { env: { GREETING: 'hi' } }) } })
  await until(() => runtime.status()[0]?.status === 'stopped')

  t.match(runtime.log('job', 10), [{}, {}, { stream: 'stdout', text: '$(id); `id` undefined hi' }, {}])
})

t.test('a process that fails is started again after a growing pause', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())

  await apply({
    bad: { run: run(['node', '-e', 'process.exit(3)'], { restart: { backoff: '5ms', max: '10ms' } }) }
  })
  await until(() => runtime.status()[0]!.restarts >= 3)

  const pauses = runtime.log('bad', 100)?.flatMap(({ text }) => /again in (\d+) ms/.exec(text)?.[1] ?? [])
  t.same(pauses?.slice(0, 3), ['5', '10', '10'])
  t.match(
    runtime.log('bad', 100)?.map(({ text }) => text),
    new Set(['backoff: ended with code 3; starts again in 5 ms'])
  )
})

t.test('the restart policy decides what happens after each kind of end', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const policy = (policy: string, code: number) => ({
    run: run(['node', '-e', `setTimeout(() => process.exit(${code}), 20)`], {
      restart: { policy, backoff: '5ms' }
    })
  })

  await apply({
    'always-0': policy('always', 0),
    'on-failure-0': policy('on-failure', 0),
    'never-0': policy('never', 0),
    'never-1': policy('never', 1),
    empty: { run: run(['']) },
    missing: { run: run(['tollkeeper-no-such-program']) },
    'no-directory': { run: run(['node'], { cwd: 'no/such/directory' }) }
  })
  const of = (name: string) => runtime.status().find((process) => process.name === name)
  await until(() => of('always-0')!.restarts > 1)
  await until(() => runtime.status().every(({ status }) => status !== 'starting' && status !== 'running'))

  t.match(of('on-failure-0'), { status: 'stopped', note: 'ended with code 0', restarts: 0, pid: undefined })
  t.match(of('never-0'), { status: 'stopped', restarts: 0 })
  t.match(of('never-1'), { status: 'failed', note: 'ended with code 1', restarts: 0 })
  t.match(of('empty'), { status: 'failed', note: /the command or its environment is not valid/ })
  t.match(of('missing'), { status: 'failed', note: 'cannot be started: ENOENT tollkeeper-no-such-program' })
  t.match(of('no-directory'), { status: 'failed', note: /there is no directory no\/such\/directory/ })
})

t.test('a process that does not get ready in time is ended and started again', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const [port] = (await freePorts(1)) as [number]
  const deaf = 'setInterval(() => {}, 1000)'
  // An address of its own: on the usual one another test may get the port meanwhile, and answer there.
  const node = nodeAt(port).replace('127.0.0.1', '127.0.0.77')

  await apply({
    deaf: {
      nodes: [node],
      run: run(['node', '-e', deaf], { ready: { timeout: '200ms' }, restart: { backoff: '10ms' } })
    }
  })
  await until(() => runtime.status()[0]!.restarts > 0)

  t.match(
    runtime.log('deaf', 100)?.map(({ text }) => text),
    new Set(['not ready after 200ms', 'backoff: ended by SIGTERM; starts again in 10 ms'])
  )
})

t.test('a reload keeps unchanged processes, restarts changed ones and stops removed ones', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const ports = await freePorts(4)
  const service = (index: number, env: object = {}) => ({
    nodes: [nodeAt(ports[index]!)],
    run: run(['node', '-e', hello], { env })
  })
  const pids = () => Object.fromEntries(runtime.status().map(({ name, pid }) => [name, pid]))
  const allRun = () => runtime.status().every(({ status }) => status === 'running')

  await apply({ same: service(0), changed: service(1), removed: service(2) })
  await until(allRun)
  const before = pids()
  await apply({ same: service(0), changed: service(1, { GREETING: 'hi' }), added: service(3) })
  await until(allRun)
  const after = pids()

  t.same(Object.keys(after).sort(), ['added', 'changed', 'same'])
  t.equal(after.same, before.same)
  t.not(after.changed, before.changed)
  t.notOk(isAlive(before.changed!))
  t.notOk(isAlive(before.removed!))
  await t.rejects(fetch(nodeAt(ports[2]!)), 'nobody listens for the removed service')
})

t.test('a stop ends the whole process group, by SIGKILL where SIGTERM is ignored', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const stubborn =
    "process.on('SIGTERM', () => {}); console.log('pid', process.pid); setInterval(() => {}, 1000)"
  const parent = `console.log('pid', process.pid)
    require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(stubborn)}], { stdio: 'inherit' })
    setInterval(() => {}, 1000)`

  await apply({ family: { run: run(['node', '-e', parent]) } }, { grace: '100ms' })
  const pids = () => saidPids(runtime, 'family')
  await until(() => pids().length === 2)
  t.ok(pids().every(isAlive))
  const family = pids()
  await runtime.close()

  t.same(family.filter(isAlive), [])
})

t.test('what a process that died has left behind is ended before it is started again', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const parent = `const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    console.log('pid', child.pid)
    setTimeout(() => process.exit(1), 50)`

  await apply({ family: { run: run(['node', '-e', parent], { restart: { policy: 'never' } }) } })
  await until(() => runtime.status()[0]?.status === 'failed')

  const [orphan] = saidPids(runtime, 'family')
  t.ok(orphan)
  t.notOk(isAlive(orphan!))
})

t.test('a service is built once before any of its processes, and not started when that fails', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'toll-build-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const [one, two, three] = (await freePorts(3)) as [number, number, number]
  writeFileSync(join(directory, 'built'), '')
  const append = `require('node:fs').appendFileSync('built', 'x')`
  const needs = `if (require('node:fs').readFileSync('built', 'utf8') !== 'x') process.exit(9)\n${hello}`

  await apply({
    good: {
      nodes: [nodeAt(one), nodeAt(two)],
      run: run(['node', '-e', needs], { cwd: directory, build: ['node', '-e', append] })
    },
    bad: {
      nodes: [nodeAt(three)],
      run: run(['node', '-e', hello], { build: ['node', '-e', 'console.error("no"); process.exit(2)'] })
    }
  })
  await until(() => runtime.status().every(({ status }) => status === 'running' || status === 'failed'))

  t.match(runtime.status(), [
    { name: 'good.1', status: 'running' },
    { name: 'good.2', status: 'running' },
    { name: 'bad', status: 'failed', note: 'the build ended with code 2' }
  ])
  t.equal(readFileSync(join(directory, 'built'), 'utf8'), 'x')
  t.match(runtime.log('bad', 10), [
    { text: 'building' },
    { stream: 'stderr', text: 'no' },
    { stream: 'runtime' }
  ])
  t.equal(runtime.log('bad', 10)?.length, 3, 'its server was never started')
})

t.test('a reload in the middle of a build leaves no process of the service behind', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  const ports = await freePorts(3)
  const [one, two, three] = ports.map(nodeAt) as [string, string, string]
  const command = run(['node', '-e', hello], { build: ['node', '-e', 'setTimeout(() => {}, 300)'] })

  await apply({ hello: { nodes: [one, two], run: command } })
  t.match(runtime.status(), [{ status: 'building' }, {}])
  await apply({ hello: { nodes: [three, two], run: command } })
  await until(() => runtime.status().every(({ status }) => status === 'running'))

  t.same(
    runtime
      .status()
      .map(({ node }) => node)
      .sort(),
    [two, three].sort()
  )
})

t.test('long lines are cut, characters are not, and only the last lines are kept', async (t) => {
  const { runtime, apply } = startRuntime()
  t.teardown(() => runtime.close())
  // The two bytes of "é" arrive in two chunks.
  const script = `for (let i = 0; i < 50; i++) console.log('line', i)
    console.log('y'.repeat(100_000) + 'end')
    process.stdout.write(Buffer.from([0x63, 0xc3]))
    setTimeout(() => process.stdout.write(Buffer.concat([Buffer.from([0xa9]), Buffer.from('\\r\\nlast')])), 50)`

  await apply(
    { chatty: { run: run(['node', '-e', script], { restart: { policy: 'never' } }) } },
    { lines: 10 }
  )
  await until(() => runtime.status()[0]?.status === 'stopped' && runtime.log('chatty', 1)?.[0])

  const lines = runtime.log('chatty', 100)?.map(({ text }) => text) ?? []
  t.equal(lines.length, 10)
  t.ok(lines.includes('line 49'))
  t.ok(lines.includes(`${'y'.repeat(8192)}…`))
  t.ok(lines.includes('cé'))
  t.ok(lines.includes('last'))
  t.same(runtime.log('chatty', 0), [])
})

t.test('a closed runtime starts nothing any more', async (t) => {
  const { runtime, apply } = startRuntime()
  await runtime.close()
  await apply({ job: { run: run(['node', '-e', '']) } })
  t.same(runtime.status(), [])
})
