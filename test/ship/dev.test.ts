import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../runtime/processes.ts'
import { root } from '../support/console.ts'
import { makeSandbox } from '../support/sandbox.ts'
import { startToll } from '../support/toll.ts'

interface Listed {
  readonly name: string
  readonly pid: number
  readonly status: string
}

const run = (cwd: string, ...args: string[]): string =>
  execFileSync(process.execPath, [`${root}build/bin/toll.js`, ...args], { cwd, encoding: 'utf8' })

const list = (cwd: string): Listed[] => JSON.parse(run(cwd, 'ps', '--json')).processes

t.test('toll dev starts services, shows requests and reloads, and restarts only what changed', async (t) => {
  // 1. Two services are started, and a request is shown in a line for people.
  const box = await makeSandbox(t, { 'examples/two-services': '.' })
  const cwd = box.directory
  const dev = await startToll(t, ['dev'], { cwd, admin: box.at('127.0.0.1:8082'), processes: 3 })
  t.match(dev.output(), /gateway\.config\.json: 3 routes on http:\/\/127\.0\.0\.1:\d+, admin on http/)
  await (await fetch(`http://${box.at('127.0.0.1:8080')}/some/path`)).text()
  await until(() => /info +request .*path=\/some\/path.*route=shop/.test(dev.output()))

  // 2. One service gets another command: it is restarted, the other is not.
  const before = list(cwd)
  const path = join(cwd, 'gateway.config.json')
  const config = readFileSync(path, 'utf8')
  writeFileSync(path, config.replace('["node", "shop.js"]', '["node", "shop.js", "--changed"]'))
  await until(() => dev.output().includes('config reloaded'))
  await until(() => dev.output().split('shop | [running]').length === 3)
  const after = list(cwd)
  const pid = (processes: Listed[], name: string): number | undefined =>
    processes.find((process) => process.name === name)?.pid
  t.not(pid(after, 'shop'), pid(before, 'shop'))
  t.equal(pid(after, 'stock.1'), pid(before, 'stock.1'))
  t.equal(pid(after, 'stock.2'), pid(before, 'stock.2'))

  // 3. A config with a mistake changes nothing, and the mistake is shown at its place.
  writeFileSync(path, config.replace('"service": "stock"', '"service": "stok"'))
  await until(() => /there is no service "stok"[\s\S]*did you mean "stock"/.test(dev.output()))
  writeFileSync(path, config.replace('["node", "shop.js"]', '["node", "shop.js", "--changed"]'))
  t.same(list(cwd), after)
  t.equal(await dev.stop(), 0)
})

t.test('toll start starts no processes, unless the config says so', async (t) => {
  const box = await makeSandbox(t, { 'examples/minimal': '.' })
  const cwd = box.directory
  const admin = box.at('127.0.0.1:8082')
  const plain = await startToll(t, ['start'], { cwd, admin })
  t.match(run(cwd, 'ps'), /^The gateway runs no processes\./)
  t.equal(await plain.stop(), 0)

  const path = join(cwd, 'gateway.config.json')
  writeFileSync(
    path,
    readFileSync(path, 'utf8').replace('"services"', '"runtime": { "enabled": true },\n"services"')
  )
  await startToll(t, ['start'], { cwd, admin, processes: 1 })
  t.match(run(cwd, 'ps'), /^NAME +STATUS +PID +RESTARTS +NODE +NOTE\nhello +running +\d+ +0 +http:\S+\n$/)
  t.equal(run(cwd, 'logs', 'hello'), 'hello | [starting]\nhello | [running]\n')
  const { lines } = JSON.parse(run(cwd, 'logs', 'hello', '-n', '1', '--json'))
  t.match(lines, [{ process: 'hello', stream: 'runtime', text: 'running', at: Number }])
})
