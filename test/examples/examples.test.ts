import { readdirSync } from 'node:fs'
import t from 'tap'
import { readConsole, readDocument, root, runConsole } from '../support/console.ts'
import { startRedis } from '../support/redis.ts'
import { makeSandbox } from '../support/sandbox.ts'
import { startToll } from '../support/toll.ts'

/** Follows the README of an example, in a copy of its directory, to the letter. */
async function follow(
  t: Tap.Test,
  name: string,
  { ready, env = {}, second }: { ready: string; env?: NodeJS.ProcessEnv; second?: NodeJS.ProcessEnv }
): Promise<void> {
  const box = await makeSandbox(t, { [`examples/${name}`]: '.' }, ['127.0.0.1:8090', '127.0.0.1:8092'])
  const cwd = box.directory
  await startToll(t, ['dev'], { cwd, env, url: `http://${box.at('127.0.0.1:8080')}${ready}` })
  if (second !== undefined) {
    const addresses = { PUBLIC: box.at('127.0.0.1:8090'), ADMIN: box.at('127.0.0.1:8092') }
    const url = `http://${addresses.ADMIN}/readyz`
    await startToll(t, ['start'], { cwd, env: { ...env, ...second, ...addresses }, url })
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

t.test('minimal', (t) => follow(t, 'minimal', { ready: '/' }))
t.test('two services', (t) => follow(t, 'two-services', { ready: '/stock/lamp' }))
t.test('WebSocket and Server-Sent Events', (t) => follow(t, 'websocket-sse', { ready: '/' }))
t.test('Redis', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await follow(t, 'redis', { ready: '/', env: { REDIS_URL: redis.url }, second: {} })
})

t.test('each example is followed by a test', async (t) => {
  const examples = readdirSync(`${root}/examples`).sort()
  t.same(examples, ['demo', 'go-jwt', 'minimal', 'redis', 'two-services', 'websocket-sse'])
})
