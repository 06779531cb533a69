import { openEmbedded } from '../../services/store/embedded.ts'
import { operations } from './contract.ts'

/**
 * One more process on a store: `writer DIRECTORY COUNTER LOG [COUNT [KEEP]]` adds one to the counter and appends its name to the log, again
 * and again, and prints every number it was acknowledged. KEEP is how long the log keeps an event, in milliseconds.
 */
const [directory = '', counter = '', log = '', count = 'Infinity', keep = '3600000'] = process.argv.slice(2)
const store = openEmbedded(directory)
process.stdout.write('open\n')
for (let index = 0; index < Number(count); index += 1) {
  const value = await store.run(operations.increment, [counter], [1, 3_600_000])
  await store.run(operations.append, [log], [Number(keep), `${process.pid}:${index}`])
  process.stdout.write(`${value}\n`)
}
await store.close()
