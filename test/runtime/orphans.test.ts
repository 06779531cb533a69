import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { isAlive, until } from './processes.ts'

const runtimeModule = fileURLToPath(new URL('../../services/runtime/runtime.js', import.meta.url))

t.test('a gateway that is killed leaves no upstream process behind', async (t) => {
  // A gateway reduced to its runtime: it says which process it has started, and is then killed without a word.
  const upstream = "console.log('pid', process.pid); setInterval(() => {}, 1000)"
  const service = {
    run: {
      command: ['node', '-e', upstream],
      cwd: '.',
      env: {},
      ready: { timeout: '5s' },
      restart: { policy: 'always', backoff: '1s', max: '1s' }
    }
  }
  const script = `import { createRuntime } from ${JSON.stringify(runtimeModule)}
    const options = { enabled: true, grace: '1s', lines: 10 }
    createRuntime({ output: process.stdout }).apply({ services: { job: ${JSON.stringify(service)} }, options, directory: '.' })
    setInterval(() => {}, 1000)`
  const gateway = spawn(process.execPath, ['--input-type=module', '-e', script])
  t.teardown(() => gateway.kill('SIGKILL'))

  let pid = 0
  createInterface({ input: gateway.stdout }).on('line', (line) => {
    pid ||= Number(/pid (\d+)/.exec(line)?.[1] ?? 0)
  })
  await until(() => pid > 0)
  t.ok(isAlive(pid))
  gateway.kill('SIGKILL')

  await until(() => !isAlive(pid))
  t.notOk(isAlive(pid))
})
