import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bounds, type Driver } from './cluster.ts'
import { type Seen, toLines } from './history.ts'
import { judge } from './judge.ts'
import { record } from './record.ts'

/** `npm run check:histories -- --refreshes 100000`: the bounded test of this folder, for as long as one wants. */
const { values } = parseArgs({
  options: {
    refreshes: { type: 'string', default: '100000' },
    store: { type: 'string' },
    minutes: { type: 'string', default: '60' }
  }
})
const drivers = ['redis', 'embedded'].filter(
  (driver) => values.store === undefined || values.store === driver
)
const refreshes = Number(values.refreshes)
if (drivers.length === 0 || !(refreshes > 0)) {
  process.stderr.write(
    'Use --refreshes NUMBER, --minutes NUMBER at most and, for one store only, --store redis or --store embedded.\n'
  )
  process.exit(2)
}
for (const driver of drivers) if (!(await check(driver as Driver))) process.exitCode = 1

async function check(driver: Driver): Promise<boolean> {
  const handlers: (() => unknown)[] = []
  let told = 0
  try {
    const { history, refreshed, seconds } = await record(
      { teardown: (handler) => handlers.push(handler) },
      {
        driver,
        refreshes,
        within: Number(values.minutes) * 60_000,
        onProgress(done) {
          if (done - told < refreshes / 20) return
          told = done
          process.stdout.write(`${driver}: ${done} of ${refreshes} refreshes\n`)
        }
      }
    )
    const path = join(tmpdir(), `toll-history-${driver}.jsonl`)
    writeFileSync(path, toLines(history))
    const violations = judge(history, bounds)
    process.stdout.write(
      `${driver}: ${refreshed} refreshes in ${seconds.toFixed(0)} s; ${summary(history)}\n`
    )
    process.stdout.write(`${driver}: ${violations.length} violations; the history is in ${path}\n`)
    for (const violation of violations.slice(0, 20)) process.stdout.write(`${JSON.stringify(violation)}\n`)
    return violations.length === 0
  } finally {
    for (const handler of handlers.reverse()) await handler()
  }
}

function summary(history: readonly Seen[]): string {
  const counts = new Map<string, number>()
  for (const seen of history) {
    const name = seen.kind === 'fault' ? `fault ${seen.what}` : `${seen.kind} ${seen.status || 'lost'}`
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts]
    .sort()
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ')
}
