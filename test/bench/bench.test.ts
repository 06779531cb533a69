import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { root } from '../support/console.ts'

const bench = (...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'build/bench/bench.js'), ...args], { encoding: 'utf8' })

t.test('says which name is none, and measures nothing', async (t) => {
  const scenario = bench('S1', 'S99')
  t.match(scenario.stderr, /^There is no scenario "S99"; there are S1, .*\.$/m)
  t.equal(scenario.status, 1)
  const rival = bench('S1', '--only', 'nginx,apache')
  t.match(rival.stderr, /^There is no "apache" to compare with; there are nginx, .*\.$/m)
  t.equal(rival.status, 1)
  t.match(bench('S1', '--rounds', 'many').stderr, /"--rounds" takes a whole number from 1, not "many"/)
  t.match(bench('S1', '--seconds', '0').stderr, /"--seconds" takes a whole number from 1, not "0"/)
})

const noTaskset = spawnSync('taskset', ['-V']).error !== undefined && 'there is no taskset'

t.test('who ends it in the middle leaves no process behind', { skip: noTaskset }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'toll-bench-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const script: string = `
    const { Pinned } = await import(${JSON.stringify(join(root, 'build/bench/process.js'))})
    const args = ['-c', 'echo $$; exec sleep 60']
    new Pinned({ command: 'sh', args }, 0, ${JSON.stringify(join(folder, 'log'))})
    const { readFileSync } = await import('node:fs')
    setInterval(() => {
      const pid = readFileSync(${JSON.stringify(join(folder, 'log'))}, 'utf8').trim()
      if (pid !== '') process.stdout.write(pid, () => process.exit(0))
    }, 20)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script])
  let pid = ''
  child.stdout.on('data', (data: Buffer) => {
    pid += String(data)
  })
  await new Promise((resolve) => child.once('close', resolve))
  t.match(pid, /^\d+$/)
  for (let wait = 0; existsSync(`/proc/${pid}`) && wait < 200; wait += 1) await sleep(50)
  t.notOk(existsSync(`/proc/${pid}`), 'it is gone')
})
