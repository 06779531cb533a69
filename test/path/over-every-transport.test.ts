import { existsSync } from 'node:fs'
import t from 'tap'
import { transports } from '../support/transports.ts'

t.test('each transport but the default has a file that runs the suites over it', async (t) => {
  for (const transport of transports.slice(1)) {
    t.ok(existsSync(new URL(`over-${transport}.test.js`, import.meta.url)), transport)
  }
})
