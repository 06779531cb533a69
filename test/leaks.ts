import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { evidenceRoom } from './support/evidence.ts'

/**
 * Runs after the tests: fails when any secret that went to and fro in them, or anything in the shape of a JWT, is anywhere in what
 * gateways wrote meanwhile: logs, metrics, traces, problems, answers of the admin API.
 */
const files = existsSync(evidenceRoom) ? readdirSync(evidenceRoom) : []
const of = (kind: string) =>
  files.filter((name) => name.endsWith(`.${kind}`)).map((name) => join(evidenceRoom, name))
const secrets = new Set(of('secrets').flatMap((path) => readFileSync(path, 'utf8').split('\n')))
secrets.delete('')
const texts = of('texts')
if (secrets.size === 0 || texts.length === 0) {
  process.stderr.write('Nothing was kept to look through: run "node build/test/setup.js" before the tests.\n')
  process.exit(1)
}
const patterns = join(evidenceRoom, 'patterns')
writeFileSync(patterns, [...secrets].join('\n'))
const jwt = 'eyJ[A-Za-z0-9_-]+\\.eyJ[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]*'
const found = [...new Set([...grep(['-F', '-f', patterns]), ...grep(['-E', jwt])])]
for (const place of found.slice(0, 20)) process.stdout.write(`# a secret is in ${place}\n`)
process.stdout.write(
  `# ${found.length} places show one of ${secrets.size} secrets, in what gateways wrote in ${texts.length} processes\n`
)
if (found.length > 0) process.exitCode = 1

/** file:line of each text that has it, with what it is. */
function grep(what: readonly string[]): string[] {
  const { stdout, status, stderr } = spawnSync('grep', ['-n', '-H', '-o', '-a', ...what, ...texts], {
    env: { ...process.env, LC_ALL: 'C' },
    encoding: 'utf8',
    maxBuffer: 256 * 1024 ** 2
  })
  if (status === null || status > 1) throw new Error(`grep failed: ${stderr.slice(0, 500)}`)
  return stdout.split('\n').filter((line) => line !== '')
}
