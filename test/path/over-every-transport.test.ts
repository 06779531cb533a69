import { existsSync } from 'node:fs'
import t from 'tap'
import { transports } from '../support/transports.ts'

t.test(
  'each transport has a file that runs the suites over it, but for the one that they use by themselves',
  async (t) => {
    // Without a plugin that wants payloads, "auto" is "direct".
    for (const transport of transports.filter((name) => name !== 'auto' && name !== 'direct')) {
      t.ok(existsSync(new URL(`over-${transport}.test.js`, import.meta.url)), transport)
    }
  }
)
