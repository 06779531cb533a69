import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isAlive } from '../runtime/processes.ts'
import { root } from '../support/console.ts'
import { eventually } from '../support/own-process.ts'
import { makeSandbox } from '../support/sandbox.ts'
import { startToll } from '../support/toll.ts'

t.test('toll demo serves from an empty directory, and keeps all it makes in .toll', async (t) => {
  // 1. The package as it would be installed, on free ports, and an empty directory.
  const files = ['package.json', 'gateway.config.json', 'gateway.schema.json', 'examples/demo', 'build']
  const box = await makeSandbox(t, Object.fromEntries(files.map((file) => [file, file])))
  symlinkSync(join(root, 'node_modules'), join(box.directory, 'node_modules'))
  const program = join(box.directory, 'build/bin/toll.js')
  const cwd = mkdtempSync(join(tmpdir(), 'toll-empty-'))
  t.teardown(() => rmSync(cwd, { recursive: true, force: true, maxRetries: 5 }))
  const [open, admin] = [box.at('127.0.0.1:8080'), box.at('127.0.0.1:8082')]
  const toll = (...args: string[]): string =>
    execFileSync(process.execPath, [program, ...args], { cwd, encoding: 'utf8' })

  // 2. It serves, and says what to try.
  const demo = await startToll(t, ['demo'], { cwd, program, admin, processes: 3 })
  t.equal(await (await fetch(`http://${open}/ping`)).text(), 'pong\n')
  for (const words of [`listens on http://${open}`, `curl http://${open}/ping`, 'ada', 'lovelace'])
    t.match(demo.output(), words)
  t.same(readdirSync(cwd), ['.toll'])
  t.equal(statSync(join(cwd, '.toll')).mode & 0o777, 0o700, 'the state is for its user alone')
  t.ok(existsSync(join(cwd, '.toll/demo/gateway.config.json')))

  // 3. The other commands find it there.
  const { processes } = JSON.parse(toll('ps', '--json'))
  t.match(processes, [
    { name: 'hello', status: 'running' },
    { name: 'orders.1', status: 'running' },
    { name: 'orders.2', status: 'running' }
  ])
  t.match(toll('ps'), /^NAME +STATUS +PID +RESTARTS +NODE +NOTE\nhello +running +\d+ +0 +http:/)
  t.match(toll('logs', 'hello', '-n', '1'), /^hello \| \[running\]\n$/)
  t.match(toll('logs', 'orders'), /orders\.1 \| \[running\]/)
  t.throws(() => toll('logs', 'nobody'), /There is no process "nobody"/)
  t.throws(() => toll('logs', 'hello', '-n', 'x'), /It is a number from 1 to 100000/)

  // 4. Nothing is left behind, and a second start keeps what was changed in the config.
  t.equal(await demo.stop(), 0)
  t.same(
    processes.filter(({ pid }: { pid: number }) => isAlive(pid)),
    []
  )
  t.throws(() => toll('ps'), /no gateway answers/)
})

t.test('the demo ends with the shell that `npm start` runs it in, which passes no signal on', async (t) => {
  const files = ['gateway.config.json', 'examples/demo']
  const box = await makeSandbox(t, Object.fromEntries(files.map((file) => [file, file])))
  const ready = `http://${box.at('127.0.0.1:8082')}/readyz`
  const isServing = (): Promise<boolean> =>
    fetch(ready, { signal: AbortSignal.timeout(1000) }).then(
      (response) => response.ok,
      () => false
    )
  const shell = spawn('sh', ['-c', `"${process.execPath}" "${root}build/bin/toll.js" demo; true`], {
    cwd: box.directory,
    env: { ...process.env, npm_lifecycle_event: 'start' },
    stdio: 'ignore'
  })
  t.teardown(() => shell.kill('SIGKILL'))

  await eventually('it serves', isServing, 60_000)
  shell.kill('SIGTERM')
  await eventually('it has ended', async () => !(await isServing()), 30_000)
  t.pass('it has ended')
})

t.test('the demo listens on loopback only, because its passwords are published', async (t) => {
  const { listen } = JSON.parse(
    readFileSync(`${root}gateway.config.json`, 'utf8').replace(/^\s*\/\/.*$/gm, '')
  )
  t.same(listen, { public: '127.0.0.1:8080', admin: '127.0.0.1:8082' })
})
