import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readConsole, readDocument, root, runConsole } from '../support/console.ts'
import { makeSandbox } from '../support/sandbox.ts'

for (const guide of readdirSync(join(root, 'docs/guides'))) {
  const steps = readConsole(readDocument(`docs/guides/${guide}`))
  if (steps.length === 0) continue
  t.test(`docs/guides/${guide} can be followed to the letter`, async (t) => {
    const { directory, replace } = await makeSandbox(t, { 'gateway.config.json': 'gateway.config.json' })
    for (const { command, line, expected, actual, isExpected } of await runConsole(steps, {
      cwd: directory,
      replace
    }))
      t.ok(isExpected, `line ${line}: ${command}`, { expected, actual })
  })
}
