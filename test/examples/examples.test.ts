import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { readConsole, readDocument, root, runConsole } from '../support/console.ts'
import { startRedis } from '../support/redis.ts'
import { makeSandbox } from '../support/sandbox.ts'
import { startToll } from '../support/toll.ts'

interface Following {
  /** Processes the example starts. */
  readonly processes: number
  readonly env?: NodeJS.ProcessEnv
  /** Whether a second gateway is started beside the first. */
  readonly isPair?: boolean
}

/** Follows the README of an example, in a copy of its directory, to the letter. */
async function follow(
  t: Test,
  name: string,
  { processes, env = {}, isPair = false }: Following
): Promise<void> {
  const box = await makeSandbox(t, { [`examples/${name}`]: '.' }, ['127.0.0.1:8090', '127.0.0.1:8092'])
  const cwd = box.directory
  await startToll(t, ['dev'], { cwd, env, admin: box.at('127.0.0.1:8082'), processes })
  if (isPair) {
    const [open, admin] = [box.at('127.0.0.1:8090'), box.at('127.0.0.1:8092')]
    await startToll(t, ['start'], { cwd, env: { ...env, PUBLIC: open, ADMIN: admin }, admin })
  }

  const steps = readConsole(readDocument(`examples/${name}/README.md`))
  t.ok(steps.length > 2, 'the README shows something')
  for (const { command, line, expected, actual, isExpected } of await runConsole(steps, {
    cwd,
    env,
    replace: box.replace
  }))
    t.ok(isExpected, `line ${line}: ${command}`, { expected, actual })
}

t.test('minimal', (t) => follow(t, 'minimal', { processes: 1 }))
t.test('cookies', (t) => follow(t, 'cookies', { processes: 1 }))
t.test('two services', (t) => follow(t, 'two-services', { processes: 3 }))
t.test('a session provider', (t) => follow(t, 'session-provider', { processes: 1 }))
t.test('go-jwt', (t) => follow(t, 'go-jwt', { processes: 1 }))
t.test('WebSocket and Server-Sent Events', (t) => follow(t, 'websocket-sse', { processes: 1 }))
t.test('Redis', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await follow(t, 'redis', { processes: 1, env: { REDIS_URL: redis.url }, isPair: true })
})

t.test('each example is followed by a test', async (t) => {
  const examples = readdirSync(`${root}/examples`).sort()
  t.same(examples, [
    'cookies',
    'demo',
    'go-jwt',
    'minimal',
    'redis',
    'session-provider',
    'two-services',
    'websocket-sse'
  ])
})
