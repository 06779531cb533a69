import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Runs after the tests: fails when less than 95 % of the lines were run, and says how many were. */
const least = 95

const root = fileURLToPath(new URL('../../', import.meta.url))
const tap = `${root}node_modules/tap/dist/esm/run.mjs`
execFileSync(process.execPath, [tap, 'report', 'json-summary'], { cwd: root, stdio: 'ignore' })
const { total } = JSON.parse(readFileSync(`${root}.tap/report/coverage-summary.json`, 'utf8')) as {
  total: { lines: { pct: number } }
}
const { pct } = total.lines
process.stdout.write(`# ${pct} % of the lines were run; at least ${least} % have to be\n`)
if (pct < least) process.exitCode = 1
